import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text

from billing.catalogue import read_catalogue
from billing.envelope import parse
from ops.up.servers.ports import free_port
from runtime.failures.dead_letters import dead_letter
from runtime.ledger.catalogues import install
from runtime.ledger.record import Ledger
from tests.ops.conftest import Paidup
from tests.ops.ops_env import OpsEnv
from tests.ops.queries.seeded_database import SeededDatabase, tell_sharing
from tests.runtime.failures.test_dead_letters import draft
from tests.runtime.ledger.conftest import ledger_on
from tests.runtime.ledger.delivery_builders import (
    NOW,
    checkout,
    customer,
    delivery,
    event,
    intent,
)
from tests.runtime.ledger.observation_builders import BY_ADA, seen, subscription

pytestmark = pytest.mark.servers


@pytest.fixture(autouse=True)
def _deployed(books: SeededDatabase, deployed: Callable[..., None]) -> None:
    deployed(DATABASE_URL=books.url)


def answers(paidup: Paidup, *arguments: str) -> dict[str, Any]:
    document = json.loads(paidup("explain", *arguments, "--json"))
    return {answer["feature"]: answer for answer in document["features"]}


def test_access_by_subscription_names_plan_event_payment_and_end(
    books: SeededDatabase, paidup: Paidup
) -> None:
    lifecycle = books.tell("renewal")
    source, newest = lifecycle.expected.grants[0].source, lifecycle.expected.payments[-1]

    answer = answers(paidup, "usr_1", "max_devices")["max_devices"]
    reason = answer["reasons"][0]

    assert (answer["allowed"], answer["value"], answer["expires_at"]) == (True, 5, None)
    assert (reason["source"], reason["plan_code"]) == (source, "premium")
    assert reason["event_id"] in {event.id for event in lifecycle.events}
    assert reason["event_type"].startswith("customer.subscription.")
    assert reason["payment"]["payment_ref"] == newest.payment_ref
    assert reason["because"] == f"Subscription {source} is active."
    said = paidup("explain", "usr_1", "max_devices")
    assert "max_devices: allowed 5, with no end in sight" in said
    assert f"paid by {newest.payment_ref}: 29.99 USD" in said
    assert "past_due: after 7 days of grace" in said
    assert "catalogue version 1" in said
    assert "signals_enabled" not in said


def test_what_the_api_showed_names_the_event_that_asked(
    books: SeededDatabase, paidup: Paidup
) -> None:
    item = {"id": "si_1", "price": {"id": "price_premium_monthly"}, "quantity": 1}
    stated = {"id": "sub_1", "object": "subscription", "customer": "cus_1", "status": "active"}
    items = {"data": [item], "has_more": False}
    name = books.observe("evt_thin", {**stated, "items": items, "metadata": {"user_id": "usr_1"}})

    (reason,) = answers(paidup, "usr_1", "max_devices")["max_devices"]["reasons"]

    assert (reason["event_id"], reason["event_type"]) == (name, "api_observation")
    assert reason["asked_for"] == "evt_thin"
    assert reason["decided_at"] is not None
    said = " ".join(paidup("explain", "usr_1", "max_devices").split())
    assert f"decided by {name} (shown by Stripe's API, asked for evt_thin) at " in said


def test_what_the_api_showed_for_no_event_names_who_had_it_asked(
    books: SeededDatabase, paidup: Paidup
) -> None:
    ledger_on(books.engine).observe([seen(subscription())], BY_ADA)

    (reason,) = answers(paidup, "usr_1", "max_devices")["max_devices"]["reasons"]

    assert (reason["event_id"], reason["event_type"]) == (f"obs_sub_1_{NOW}", "api_observation")
    assert (reason["asked_for"], reason["asked_by"]) == (
        None,
        "the backfill of ada: we adopt Paidup",
    )
    assert reason["decided_at"] is not None
    said = " ".join(paidup("explain", "usr_1", "max_devices").split())
    assert "(shown by Stripe's API, asked by the backfill of ada: we adopt Paidup) at " in said


def test_a_purchase_ends_by_what_policy_says(books: SeededDatabase, paidup: Paidup) -> None:
    lifecycle = books.tell("onetime")

    said = paidup("explain", "usr_1")

    assert "lifetime: allowed, with no end in sight" in said
    assert f"paid by {lifecycle.expected.payments[0].payment_ref}: 99.00 USD" in said
    assert "would end with a full refund or a lost dispute" in said


@pytest.mark.parametrize(
    ("scenario", "because"),
    [("refund_full", "was refunded in full"), ("dispute_lost", "was lost")],
)
def test_what_was_taken_away_tells_by_what(
    scenario: str, because: str, books: SeededDatabase, paidup: Paidup
) -> None:
    lifecycle = books.tell(scenario)

    answer = answers(paidup, "usr_1")["lifetime"]
    reason = answer["reasons"][0]

    assert (answer["allowed"], reason["in_force"], reason["ends"]) == (False, False, [])
    assert because in reason["because"]
    assert reason["revoked"]["event_id"] in {event.id for event in lifecycle.events}
    assert "revoked at" in paidup("explain", "usr_1", "lifetime")


def test_every_lifecycle_agrees_with_what_it_must_end_in(
    books: SeededDatabase, paidup: Paidup
) -> None:
    names = ("trial_active", "upgrade", "same_second", "entitlement_summary", "dispute_won")
    for name in names:
        lifecycle = books.tell(name, user=f"usr_{name}")
        allowed = {
            feature: answer["value"]
            for feature, answer in answers(paidup, f"usr_{name}").items()
            if answer["allowed"]
        }
        assert allowed == lifecycle.expected.features


def test_of_two_sources_the_one_that_gives_more_counts(
    books: SeededDatabase, paidup: Paidup
) -> None:
    books.tell("renewal", seed="a")
    books.tell("upgrade", seed="b")

    answer = answers(paidup, "usr_1", "max_devices")["max_devices"]
    by_plan = {r["plan_code"]: r["counts"] for r in answer["reasons"] if r["in_force"]}

    assert (answer["value"], by_plan) == (5, {"premium": True, "team": False})
    assert [reason["in_force"] for reason in answer["reasons"]] == [True, True, False]
    assert "another source gives more" in paidup("explain", "usr_1", "max_devices")


def test_seats_of_two_subscriptions_add_up_and_both_count(
    books: SeededDatabase, paidup: Paidup
) -> None:
    for seed in ("a", "b"):
        books.tell("upgrade", seed=seed)

    answer = answers(paidup, "usr_1", "max_devices")["max_devices"]

    assert answer["value"] == 6
    assert [reason["counts"] for reason in answer["reasons"]] == [True, True, False, False]


def test_a_feature_the_user_never_had_names_the_plans_that_give_it(
    books: SeededDatabase, paidup: Paidup
) -> None:
    books.tell("onetime")

    said = paidup("explain", "usr_1", "signals_enabled")

    assert "signals_enabled: not allowed" in said
    assert "usr_1 has nothing that gives it; plans that do: premium" in said


def test_a_user_without_anything_is_shown_with_the_reason(
    books: SeededDatabase, paidup: Paidup
) -> None:
    books.tell("checkout_expired")

    said = paidup("explain", "usr_1")

    assert "This user has no feature and never had one." in said
    assert "its checkout expired before it was paid" in said


def test_a_purchase_that_is_not_paid_yet_waits(books: SeededDatabase, paidup: Paidup) -> None:
    events = books.compose("async_payment").events
    books.record(event for event in events if "succeeded" not in event.type)

    said = paidup("explain", "usr_1", "lifetime")

    assert "lifetime: not allowed" in said
    assert "waiting\n  Purchase pi_" in said
    assert "its payment has not succeeded yet (evt_" in said


def test_a_price_in_no_plan_waits_for_the_plans(books: SeededDatabase, paidup: Paidup) -> None:
    for name in ("onetime", "renewal"):
        bodies = (event.body for event in books.compose(name, seed=name).events)
        swapped = (
            body.replace(b"price_lifetime", b"price_new").replace(b"price_premium", b"price_gone")
            for body in bodies
        )
        books.settle(map(parse, swapped))

    waiting = json.loads(paidup("explain", "usr_1", "--json"))["waiting"]

    assert len(waiting) == 3
    assert "(active) is sold at price_gone_monthly (evt_" in waiting[0]
    assert "is paid and was sold at price_new (evt_" in waiting[1]
    assert all("), which is in no plan: add it" in each for each in waiting[:2])
    assert "so what it sold and how many is assumed: set STRIPE_API_KEY" in waiting[2]


def test_what_names_no_user_yet_waits_with_its_customer(
    books: SeededDatabase, paidup: Paidup
) -> None:
    lifecycle = books.tell("renewal")
    with books.engine.begin() as connection:
        connection.execute(
            text(
                "UPDATE parties SET waiting = true,"
                " candidates = jsonb_build_object('sub_late', jsonb_build_array()),"
                " missing_subscriptions = '{sub_late}', incomplete_summaries = '{cus_cut}',"
                " incomplete_items = '{test:sub_cut}'"
            )
        )

    said = paidup("explain", "usr_1")

    assert f"of test:{lifecycle.expected.customer_id} names no user yet" in said
    assert "set metadata.user_id" in said
    assert "Stripe has sent no snapshot of subscription sub_late" in said
    assert "Stripe cut off the list of features of customer cus_cut" in said
    assert "Stripe cut off the list of items of subscription sub_cut" in said


@pytest.mark.parametrize(
    ("given", "settings", "why"),
    [
        (
            {"livemode": True},
            {"PAIDUP_LIVEMODE": "test"},
            "was ignored: PAIDUP_LIVEMODE excludes live events.",
        ),
        (
            {"account": "acct_1"},
            {},
            "was ignored: PAIDUP_CONNECT_ACCOUNTS does not list the account of test/acct_1.",
        ),
        (
            {"context": "wksp_1"},
            {},
            "was ignored: its context does not prove to which account it belongs;",
        ),
    ],
)
def test_events_that_name_the_user_and_do_not_count_here_are_shown(  # noqa: PLR0917 - fixtures
    books: SeededDatabase,
    paidup: Paidup,
    deployed: Callable[..., None],
    given: dict[str, Any],
    settings: dict[str, str],
    why: str,
) -> None:
    deployed(DATABASE_URL=books.url, **settings)
    bought = event("checkout.session.completed", checkout("cs_1"), id="evt_x", **given)
    ledger = Ledger(
        books.engine,
        livemode="test" if "PAIDUP_LIVEMODE" in settings else "any",
        accounts=frozenset(),
    )
    ledger.record([delivery(bought), delivery(event("unheard.of", {"of": "usr_123"}))])

    said = paidup("explain", "usr_123")
    assert (
        "No settled event names it, except perhaps an abandoned checkout: nothing is granted."
        in said
    )
    assert f"Event evt_x (checkout.session.completed) names this user and {why}" in said

    books.tell("onetime", user="usr_123")
    said = paidup("explain", "usr_123")
    assert "without effect" in said
    assert f"Event evt_x (checkout.session.completed) names this user and {why}" in said
    assert said.count("names this user") == 1


def test_an_event_that_failed_and_one_that_was_discarded_are_shown(
    books: SeededDatabase, paidup: Paidup
) -> None:
    books.tell("onetime", user="usr_123")
    body = event("checkout.session.completed", checkout("cs_1"), id="evt_x")
    books.settle([parse(body)])
    with books.engine.begin() as connection:
        connection.execute(
            text(
                "UPDATE stripe_events SET outcome = 'ignored', reason = 'discarded'"
                " WHERE id = 'evt_x'"
            )
        )
    dead_letter(
        books.engine,
        [
            draft(
                "evt_y",
                body=body,
                error_type="DataError",
                error="too much",
                event_type="invoice.paid",
            )
        ],
    )

    said = paidup("explain", "usr_123")

    assert "was ignored: an operator discarded its dead letter." in said
    assert "Event evt_y (invoice.paid) names this user and could not be applied: DataError" in said
    assert "run `paidup dead show evt_y` for details" in said


def test_what_an_older_release_settled_and_nobody_can_read_names_nobody(
    books: SeededDatabase, paidup: Paidup
) -> None:
    body = event("checkout.session.completed", checkout("cs_1"), id="evt_x")
    books.settle([parse(body)])
    books.tell("onetime", user="usr_123")
    with books.engine.begin() as connection:
        connection.execute(
            text(
                "UPDATE stripe_events SET outcome = 'ignored', reason = 'wrong_mode',"
                " payload = 'usr_123' WHERE id = 'evt_x'"
            )
        )

    assert "without effect" not in paidup("explain", "usr_123")


def test_access_that_time_has_ended_is_not_in_force_before_any_task_ran(
    books: SeededDatabase, paidup: Paidup
) -> None:
    books.tell("renewal")
    with books.engine.begin() as connection:
        connection.execute(
            text("UPDATE user_entitlements SET expires_at = now() - interval '1 second'")
        )

    answer = answers(paidup, "usr_1", "max_devices")["max_devices"]

    assert (answer["allowed"], answer["reasons"][0]["in_force"]) == (False, False)
    assert "It ended at" in answer["reasons"][0]["because"]


def test_access_that_time_will_end_says_when(books: SeededDatabase, paidup: Paidup) -> None:
    books.tell("renewal")
    with books.engine.begin() as connection:
        connection.execute(
            text(
                "UPDATE user_entitlements SET guessed = true, expires_at = '2099-01-01 00:00:00+00'"
            )
        )

    said = paidup("explain", "usr_1", "max_devices")

    assert "max_devices: allowed 5, until 2099-01-01 00:00:00Z" in said
    assert "would end with the expiry at 2099-01-01 00:00:00Z" in said
    assert "(a guess: " in said


def test_a_subscription_past_due_says_how_long_its_grace_lasts(
    books: SeededDatabase, paidup: Paidup
) -> None:
    events = list(books.compose("past_due_recovered").events)
    stated = [event.payload["data"]["object"].get("status") for event in events]
    books.record(events[: stated.index("past_due") + 1])

    said = paidup("explain", "usr_1", "max_devices")

    assert "max_devices: allowed 5, until 20" in said
    assert "past due since" in said
    assert "its invoice staying unpaid" in said


def test_access_by_checkout_alone_waits_for_the_subscription(
    books: SeededDatabase, paidup: Paidup
) -> None:
    events = books.compose("first_paid").events
    books.record(event for event in events if event.type == "checkout.session.completed")

    said = paidup("explain", "usr_1", "signals_enabled")

    assert "signals_enabled: allowed, until 20" in said
    assert "no snapshot of subscription sub_" in said
    assert "as stated by the invoice; the payment itself is not known yet" in said
    assert "enable customer.subscription.* on the endpoint" in said


def test_what_time_took_away_is_the_clocks_doing(books: SeededDatabase, paidup: Paidup) -> None:
    events = books.compose("first_paid").events
    old = datetime.now(UTC) - timedelta(days=4)
    for each in events:
        if each.type == "checkout.session.completed":
            body = each.body.replace(
                b'"created": %d' % each.created, b'"created": %d' % old.timestamp()
            )
            books.settle([parse(body)])
    with books.engine.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO audit_logs (actor, action, outcome, origin, target_type, target_id,"
                " user_id) SELECT 'clock', 'entitlement.revoked', 'done', 'clock', 'entitlement',"
                " source || '/' || plan_code, user_id FROM user_entitlements"
            )
        )

    said = paidup("explain", "usr_1", "signals_enabled")

    assert "signals_enabled: not allowed" in said
    assert "Z by time" in said


def test_rows_of_an_older_catalogue_name_its_version(books: SeededDatabase, paidup: Paidup) -> None:
    books.tell("onetime")
    changed = read_catalogue(
        {
            "plans": {
                "lifetime": {"prices": ["price_lifetime"], "features": {"lifetime": True}},
            },
            "policy": {"refund_full": "keep", "dispute_lost": "keep"},
        }
    )
    with books.engine.begin() as connection:
        install(connection, changed, actor="tests", reason="tests")

    said = paidup("explain", "usr_1")

    assert "computed with catalogue version 1" in said
    assert "catalogue version 2" in said
    assert "would end with nothing: by policy, refunds and disputes keep access" in said


def test_a_name_that_would_repaint_the_terminal_is_shown_harmless(
    books: SeededDatabase, paidup: Paidup
) -> None:
    books.tell("onetime", user="usr\x1b[2J")

    assert "\x1b" not in paidup("explain", "usr\x1b[2J")
    assert "\x1b" not in paidup("explain", "usr\x1b[3J")


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["evt_1"], 2, "`paidup events show evt_1` shows it"),
        (["usr_1", "nonsense"], 1, "no plan has a feature 'nonsense'; features: lifetime"),
        ([], 2, "name a user"),
    ],
)
def test_bad_input_gets_one_sentence(
    arguments: list[str], code: int, said: str, books: SeededDatabase, paidup: Paidup
) -> None:
    books.tell("onetime")

    paidup("explain", *arguments, code=code)

    assert said in paidup.err


def test_a_server_that_is_away_or_unnamed_gets_one_sentence(
    deployed: Callable[..., None], paidup: Paidup
) -> None:
    deployed(DATABASE_URL=f"postgresql://127.0.0.1:{free_port()}/x")
    paidup("explain", "usr_1", code=1)
    assert "PostgreSQL is unreachable" in paidup.err

    deployed()
    paidup("explain", "usr_1", code=1)
    assert "DATABASE_URL is not set" in paidup.err


class TestLookup:
    """Other names of a user: ids of Stripe and e-mail addresses."""

    @pytest.mark.parametrize(
        ("table", "column"),
        [
            ("customers", "stripe_customer_id"),
            ("subscriptions", "stripe_subscription_id"),
            ("payments", "payment_ref"),
            ("payments", "invoice_id"),
        ],
    )
    def test_an_id_of_stripe_leads_to_its_user(
        self, books: SeededDatabase, paidup: Paidup, table: str, column: str
    ) -> None:
        books.tell("renewal", user="usr_123")
        with books.engine.connect() as connection:
            found = connection.scalar(text(f"SELECT max({column}) FROM {table}"))  # noqa: S608

        explained = json.loads(paidup("explain", str(found), "--json"))

        assert (explained["user_id"], explained["asked_for"]) == ("usr_123", found)
        assert explained["known"]
        assert all(feature["allowed"] for feature in explained["features"])
        assert f"This is the user of {found}." in paidup("explain", str(found))

    def test_an_address_leads_to_its_user_however_it_is_written(
        self, books: SeededDatabase, paidup: Paidup
    ) -> None:
        books.tell("renewal", user="usr_123")

        explained = json.loads(paidup("explain", "Usr_123@Example.com", "--json"))

        assert explained["user_id"] == "usr_123"
        assert paidup("explain", "nobody@example.com").count("No settled event names it") == 1

    def test_several_users_of_one_address_are_named(
        self, books: SeededDatabase, paidup: Paidup
    ) -> None:
        tell_sharing(books, "ada@example.com", *(f"usr_{number}" for number in range(6)))

        paidup("explain", "ada@example.com", code=1)

        named = "usr_0, usr_1, usr_2, usr_3, usr_4 and 1 more"
        assert f"ada@example.com has 6 users, name one of them: {named}" in paidup.err

    def test_a_user_whose_id_is_an_address_comes_first(
        self, books: SeededDatabase, paidup: Paidup
    ) -> None:
        tell_sharing(books, "ada@example.com", "usr_1")
        books.tell("onetime", user="ada@example.com", seed="2")

        explained = json.loads(paidup("explain", "ada@example.com", "--json"))

        assert explained["user_id"] == "ada@example.com"

    @pytest.mark.parametrize(
        ("asked", "then"),
        [
            ("cus_9", "No event with this id arrived: compare it with Stripe's dashboard"),
            ("usr_9", "No event names this user: `paidup events list` shows what arrived"),
        ],
    )
    def test_a_wrong_id_gets_the_next_step_of_its_kind(
        self, floor: OpsEnv, paidup: Paidup, asked: str, then: str
    ) -> None:
        assert then in paidup("explain", asked)

        waiting = event("customer.created", customer("cus_9", "usr_9"), id="evt_9")
        floor.inbox.accept(parse(waiting))

        said = paidup("explain", asked)
        assert "Event evt_9" in said
        assert then not in said

    def test_a_user_without_features_is_said_to_have_none_also_by_an_id_of_stripe(
        self, books: SeededDatabase, paidup: Paidup
    ) -> None:
        books.settle([parse(event("customer.created", customer("cus_1", "usr_1")))])

        lines = paidup("explain", "cus_1").splitlines()

        assert lines[:3] == [
            "usr_1",
            "  This is the user of cus_1.",
            "  This user has no feature and never had one.",
        ]
        books.tell("onetime", user="usr_2")
        assert paidup("explain", "usr_2").splitlines()[1:3] != ["", ""]

    def test_of_an_error_of_several_lines_only_the_first_is_shown(
        self, books: SeededDatabase, paidup: Paidup
    ) -> None:
        body = event("unheard.of", {"user_id": "usr_9"}, id="evt_9")
        why = "FATAL: it is full\nDETAIL: of rows\nHINT: empty it"
        dead_letter(books.engine, [draft("evt_9", body=body, error=why)])

        said, listed = paidup("explain", "usr_9"), paidup("dead", "list", code=1)

        assert "FATAL: it is full; run" in said
        assert "FATAL: it is full" in listed
        assert not any("DETAIL" in each for each in (said, listed))

    @pytest.mark.parametrize("asked", ["cus_9", "pi_9", "ada@example.com"])
    def test_a_customer_without_a_user_is_explained_by_what_waits(
        self, books: SeededDatabase, paidup: Paidup, asked: str
    ) -> None:
        paid = intent("pi_9", customer="cus_9", receipt_email="ada@example.com")
        books.settle([parse(event("payment_intent.succeeded", paid, id="evt_9"))])

        explained = json.loads(paidup("explain", asked, "--json"))
        said = paidup("explain", asked)

        assert (explained["known"], explained["has_user"]) == (True, False)
        assert "Payment pi_9 of 29.99 USD waits for a user (evt_9)." in explained["waiting"]
        assert any("set metadata.user_id" in each for each in explained["waiting"])
        assert said.startswith(f"{asked}\n  No event names a user of it yet, so nothing is granted")
        paidup("explain", asked, "--at", "0s", code=1)
        assert f"no event names a user of {asked} yet" in paidup.err

    def test_a_name_lists_those_who_bear_it(self, books: SeededDatabase, paidup: Paidup) -> None:
        for number in (1, 2):
            named = customer(f"cus_{number}", f"usr_{number}") | {"name": "Ada Lovelace"}
            books.settle([parse(event("customer.created", named))])

        explained = json.loads(paidup("explain", "ada lovelace", "--json"))

        assert explained["candidates"] == [
            {"stripe_id": "cus_1", "users": ["usr_1"]},
            {"stripe_id": "cus_2", "users": ["usr_2"]},
        ]
        assert explained["known"] is False
        said = paidup("explain", "Ada Lovelace")
        assert "But it is a name or in the metadata of usr_1 (cus_1), usr_2 (cus_2)" in said

    @pytest.mark.parametrize("asked", ["usr_9", "cus_9", "in_9", "x@example.com"])
    def test_one_whom_only_a_dead_letter_names_is_explained_by_it(
        self, books: SeededDatabase, paidup: Paidup, asked: str
    ) -> None:
        broken = {"object": "unheard_of", "id": "in_9", "customer": {"id": "cus_9"}}
        broken |= {"customer_email": "X@example.com", "metadata": {"user_id": "usr_9"}}
        body = event("invoice.paid", broken, id="evt_dead")
        dead_letter(books.engine, [draft("evt_dead", body=body, event_type="invoice.paid")])

        said = paidup("explain", asked)

        assert (
            "No settled event names it, except perhaps an abandoned checkout: nothing is granted."
            in said
        )
        assert "Event evt_dead (invoice.paid) names" in said
        assert "could not be applied: UnreadableEvent" in said
        for option in ("--user", "--customer"):
            listed = json.loads(paidup("dead", "list", option, asked, "--json", code=1))
            assert [each["event_id"] for each in listed["dead_letters"]] == ["evt_dead"]

    def test_one_whom_only_a_waiting_event_names_is_explained_by_it(
        self, floor: OpsEnv, paidup: Paidup
    ) -> None:
        [waiting, *_] = floor.books.compose("onetime", user="usr_9").events
        other = floor.books.compose("onetime", user="usr_8", seed="other").events[0]
        for each in (waiting, other):
            floor.inbox.accept(parse(each.body))

        explained = json.loads(paidup("explain", "usr_9", "--json"))

        assert (explained["known"], explained["features"]) == (False, [])
        assert len(explained["in_inbox"]) == 1
        assert waiting.id in explained["in_inbox"][0]
        assert explained["inbox_error"] is None
