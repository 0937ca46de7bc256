import io
import json

import pytest
from rich.console import Console

from ops.commands import demo as command
from ops.demo_account import MUST_MOVE, Account, Act, Delivered, Knock, problems
from ops.demo_report import as_document, print_account
from ops.samples.courier import Answer
from ops.samples.lifecycles import compose
from ops.samples.observed import Observed
from ops.samples.shapes import Shape

CHECKOUT = compose("paid_checkout", shape=Shape.NEW, seed="s", now=1_795_300_000, user_id="usr_123")
REFERENCE = CHECKOUT.expected.payments[0].payment_ref
NOTHING = Observed(
    customers=(),
    subscriptions=(),
    purchases=(),
    grants=(),
    effective=(),
    payments=(),
    payment_events=(),
    audit=(),
)


def answer(status: int, document: object = None) -> Answer:
    return Answer(status=status, body=json.dumps(document).encode(), seconds=0.001)


def as_it_must_be() -> Account:
    features = {"signals_enabled": True, "max_devices": 5}
    grant = {
        "source": REFERENCE,
        "plan_code": "premium",
        "entitlements": features,
        "active": True,
        "expires_at": None,
        "because": "paid [because]",
    }
    payment = {
        "payment_ref": REFERENCE,
        "amount_minor": 2999,
        "amount_refunded_minor": 0,
        "currency": "usd",
        "status": "succeeded",
        "dispute_status": None,
    }
    booked = {"kind": "received", "event_type": "t", "amount_minor": 2999, "payment_ref": REFERENCE}
    audited = {"action": "a", "target_type": "b", "target_id": "c", "reason": None}
    observed = Observed(
        customers=(),
        subscriptions=(),
        purchases=({"purchase_ref": REFERENCE, "status": "paid"},),
        grants=(grant,),
        effective=tuple({"feature": name, "value": value} for name, value in features.items()),
        payments=(payment,),
        payment_events=(booked,),
        audit=(audited,),
    )
    event = CHECKOUT.events[0]
    sent = Delivered(event=event, answer=answer(202, {"status": "accepted"}))
    again = answer(200, {"status": "duplicate", "result": {"outcome": "applied"}})
    settled = {'billing_events_settled_total{event_type="t",outcome="applied"}': 1.0}
    return Account(
        acts=[
            Act(
                title="An act",
                expected=CHECKOUT.expected,
                deliveries=[sent],
                observed=observed,
                told=answer(200, {"features": features}),
            )
        ],
        knocks=[Knock(title="again", must=200, answer=again)],
        metrics=dict.fromkeys(MUST_MOVE, 1.0) | settled,
        seconds=1.0,
    )


def test_an_account_of_what_must_be_has_no_problems() -> None:
    assert list(problems(as_it_must_be())) == []


def test_every_problem_is_named() -> None:
    account = as_it_must_be()
    account.acts[0].deliveries = [Delivered(event=CHECKOUT.events[0], answer=answer(503))]
    account.acts[0].observed = NOTHING
    account.acts[0].told = answer(404, {"detail": "never heard of"})
    account.knocks = [Knock(title="forged", must=403, answer=answer(202))]
    account.metrics = {}

    said = "\n".join(problems(account))

    assert "checkout.session.completed was answered 503, not 202" in said
    assert "An act: no entitlement row" in said
    assert "nothing stands in the audit trail" in said
    assert "An act: the read API says never heard of" in said
    assert "forged: answered 202, not 403" in said
    assert "was not answered with its cached result" in said
    assert 'idempotent_hits_total{operation="ingest"} did not move' in said
    assert "billing_events_settled_total moved by 0, and 1 events were sent" in said


def test_the_document_is_json_for_programs() -> None:
    document = json.loads(json.dumps(as_document(as_it_must_be())))

    assert document["ok"] is True
    (act,) = document["acts"]
    assert act["user_id"] == "usr_123"
    assert act["sent"][0]["body"] == {"status": "accepted"}
    assert act["user_entitlements"][0]["entitlements"]["max_devices"] == 5
    assert act["read_api"]["features"]["max_devices"] == 5
    assert document["knocks"][0]["status"] == 200


@pytest.mark.parametrize("well", [True, False])
def test_people_read_rows_reasons_and_the_verdict(*, well: bool) -> None:
    screen = io.StringIO()
    account = as_it_must_be()
    account.problems = [] if well else ["the [sky] fell"]

    print_account(account, Console(file=screen, width=160))

    text = screen.getvalue()
    assert "signals_enabled=true, max_devices=5" in text
    assert "[because]" in text
    assert ("Everything is as it must be" in text) is well
    assert ("the [sky] fell" in text) is not well


def test_the_demo_never_sees_a_deployments_environment() -> None:
    environ = {
        "PATH": "/bin",
        "DATABASE_URL": "postgresql://production",
        "REDIS_URL_FILE": "/run/secrets/redis",
        "CELERY_BROKER_URL": "redis://production",
        "STRIPE_WEBHOOK_SECRET": "whsec_production",
        "PAIDUP_PLANS": "elsewhere.toml",
        "PAIDUP_REDIS_SERVER": "/usr/bin/redis-server",
    }

    seen = command._environ(environ)

    assert seen.keys() == {"PATH", "PAIDUP_PLANS", "PAIDUP_REDIS_SERVER"}
    assert seen["PAIDUP_PLANS"].endswith("demo.toml")
