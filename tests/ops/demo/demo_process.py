"""The result of a successful demo, without running one."""

import json

from ops.demo.observation import Observed
from ops.demo.result import MUST_MOVE, Delivered, DemoResult, DemoStep, RejectionCheck
from ops.samples.api_shapes import Shape
from ops.samples.lifecycles.registry import compose
from ops.send.delivery import EndpointResponse

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


def answer(status: int, document: object = None) -> EndpointResponse:
    return EndpointResponse(status=status, body=json.dumps(document).encode(), seconds=0.001)


def observed() -> Observed:
    """Return the rows that a paid checkout must leave."""
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
    booked = {
        "id": 1,
        "kind": "received",
        "event_type": "t",
        "amount_minor": 2999,
        "currency": "usd",
        "payment_ref": REFERENCE,
    }
    audited = {"id": 7, "action": "a", "target_type": "b", "target_id": "c", "reason": None}
    return Observed(
        customers=(),
        subscriptions=(),
        purchases=({"purchase_ref": REFERENCE, "status": "paid"},),
        grants=(grant,),
        effective=tuple({"feature": name, "value": value} for name, value in features.items()),
        payments=(payment,),
        payment_events=(booked,),
        audit=(audited,),
    )


def as_it_must_be() -> DemoResult:
    """Return the result of one lifecycle and one repeated event, without a problem."""
    seen, event = observed(), CHECKOUT.events[0]
    sent = Delivered(event=event, answer=answer(202, {"status": "accepted"}))
    again = answer(200, {"status": "duplicate", "result": {"outcome": "applied"}})
    settled = {'billing_events_settled_total{event_type="t",outcome="applied"}': 1.0}
    return DemoResult(
        steps=[
            DemoStep(
                title="A step",
                expected=CHECKOUT.expected,
                deliveries=[sent],
                outcomes={event.id: "applied"},
                observed=seen,
                read_response=answer(200, {"features": seen.grants[0]["entitlements"]}),
            )
        ],
        rejections=[RejectionCheck(title="again", must=200, answer=again)],
        metrics=dict.fromkeys(MUST_MOVE, 1.0) | settled,
        first_paid_seconds=4.49,
    )
