"""Record objects that Stripe's API showed for no event, as a backfill and a reconciliation do."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DataError

from billing.fetching.record import FetchTarget
from billing.ids import Realm
from ops.samples.scenario import DAY
from runtime.ledger.decisions import EntitlementGranted, MoneyMoved
from runtime.ledger.errors import ObservationTaken, RealmExcluded
from runtime.ledger.observe import ObservedChange, ObservedObject
from runtime.ledger.record import Ledger
from tests.runtime.ledger.conftest import ledger_on
from tests.runtime.ledger.delivery_builders import (
    NOW,
    contents,
    customer,
    delivery,
    event,
    intent,
    refunded,
    rows,
)
from tests.runtime.ledger.observation_builders import BY_ADA, TEST, gone, seen, subscription
from tests.stripe.state import moment

pytestmark = pytest.mark.servers


def updated(status: str, *, at: int = NOW) -> bytes:
    return event("customer.subscription.updated", subscription(status), at=at)


def observe(ledger: Ledger, *observed: ObservedObject) -> list[ObservedChange]:
    return ledger.observe(observed, BY_ADA)


def active(engine: Engine) -> list[Any]:
    return rows(engine, "SELECT user_id, plan_code FROM user_entitlements WHERE active")


class TestAnObjectThatIsNew:
    def test_grants_what_an_event_with_it_would(self, ledger: Ledger, engine: Engine) -> None:
        (change,) = observe(ledger, seen(subscription()))

        assert (change.known, change.unchanged, change.pending_fetches) == (False, False, ())
        assert active(engine) == [("usr_1", "premium")]
        name = f"obs_sub_1_{NOW}"
        assert rows(engine, "SELECT event_id FROM user_entitlements") == [name]
        assert rows(engine, "SELECT event_id FROM facts") == [name]

    def test_makes_up_no_event(self, ledger: Ledger, engine: Engine) -> None:
        observe(ledger, seen(subscription()))

        assert rows(engine, "SELECT count(*) FROM stripe_events") == [0]

    def test_is_kept_to_the_byte_for_no_event(self, ledger: Ledger, engine: Engine) -> None:
        given = seen(subscription())

        observe(ledger, given)

        query = "SELECT payload, payload_sha256, event_id, realm FROM api_observations"
        shown = given.observation
        assert rows(engine, query) == [(shown.payload, shown.payload_sha256, None, TEST)]

    def test_is_audited_with_who_asked_and_why(self, ledger: Ledger, engine: Engine) -> None:
        observe(ledger, seen(subscription()))

        query = (
            "SELECT actor, origin, reason, event_id FROM audit_logs"
            " WHERE action = 'entitlement.granted'"
        )
        name = f"obs_sub_1_{NOW}"
        assert rows(engine, query) == [("ada", "backfill", "we adopt Paidup", name)]

    def test_moves_money_under_its_own_id(self, ledger: Ledger, engine: Engine) -> None:
        observe(ledger, seen(intent("pi_1")))

        query = "SELECT event_id, event_type, amount_minor FROM payment_events"
        assert rows(engine, query) == [(f"obs_pi_1_{NOW}", "api_observation", 2999)]

    def test_is_found_by_its_words(self, ledger: Ledger, engine: Engine) -> None:
        observe(ledger, seen({**customer("cus_1"), "email": "Ada@example.com"}))

        query = "SELECT term, object_key FROM search_terms WHERE kind = 'email'"
        assert rows(engine, query) == [("ada@example.com", "test:cus_1")]

    def test_joins_parties_as_an_event_does(self, ledger: Ledger, engine: Engine) -> None:
        observe(ledger, seen(intent("pi_1", metadata={"plan_code": "day_pass"})))

        observe(
            ledger,
            seen(intent("pi_1", customer="cus_1"), at=NOW + 1),
            seen(customer("cus_1", "usr_1"), at=NOW + 1),
        )

        assert rows(engine, "SELECT DISTINCT party FROM memberships") == ["test:cus_1"]
        assert rows(engine, "SELECT user_id FROM payments") == ["usr_1"]


class TestAPageOfOneCustomer:
    def test_says_of_each_change_which_object_it_follows_from(
        self, ledger: Ledger, engine: Engine
    ) -> None:
        given = [
            seen(intent("pi_1", customer="cus_1")),
            seen(subscription()),
            seen(intent("pi_2", customer="cus_1")),
            seen({**customer("cus_1"), "email": "ada@example.com"}),
        ]

        changes = observe(ledger, *given)

        booked = "SELECT payment_ref, event_id FROM payment_events ORDER BY payment_ref"
        assert rows(engine, booked) == [("pi_1", f"obs_pi_1_{NOW}"), ("pi_2", f"obs_pi_2_{NOW}")]
        granted = "SELECT event_id FROM audit_logs WHERE action = 'entitlement.granted'"
        assert rows(engine, granted) == [f"obs_sub_1_{NOW}"]
        assert [changed(each) for each in changes] == [
            {"payment"},
            {"entitlement"},
            {"payment"},
            set(),
        ]

    def test_moves_what_waited_for_its_user_once(self, ledger: Ledger, engine: Engine) -> None:
        payments = [seen(intent(f"pi_{number}", customer="cus_1")) for number in range(3)]

        observe(ledger, *payments, seen(customer("cus_1", "usr_1")))

        booked = rows(engine, "SELECT kind, user_id FROM payment_events")
        assert booked == [("received", "usr_1")] * 3


def changed(change: ObservedChange) -> set[str]:
    """Return what an object changed that is audited."""
    words = {MoneyMoved: "payment", EntitlementGranted: "entitlement"}
    return {words[type(each)] for each in change.decisions if type(each) in words}


class TestAnObjectThatIsKnown:
    def test_by_an_equal_observation_is_not_stored_again(
        self, ledger: Ledger, engine: Engine
    ) -> None:
        observe(ledger, seen(subscription()))
        before = contents(engine)

        (change,) = observe(ledger, seen(subscription(), at=NOW + 60))

        assert (change.known, change.unchanged, change.decisions) == (True, True, ())
        assert contents(engine) == before

    def test_twice_on_one_page_is_stored_once(self, ledger: Ledger, engine: Engine) -> None:
        changes = observe(ledger, seen(subscription()), seen(subscription()))

        assert [each.unchanged for each in changes] == [False, True]
        assert rows(engine, "SELECT count(*) FROM api_observations") == [1]

    def test_is_stored_if_an_event_came_since(self, ledger: Ledger, engine: Engine) -> None:
        observe(ledger, seen(subscription()))
        ledger.record([delivery(updated("unpaid", at=NOW + 10))])
        assert active(engine) == []

        (change,) = observe(ledger, seen(subscription(), at=NOW + 60))

        assert (change.known, change.unchanged) == (True, False)
        assert active(engine) == [("usr_1", "premium")]

    def test_is_superseded_by_an_event_of_the_second_in_which_it_was_asked_for(
        self, ledger: Ledger, engine: Engine
    ) -> None:
        """Take a change that was made while the request was under way for the newer one."""
        ledger.record([delivery(updated("unpaid", at=NOW + 1))])

        observe(ledger, seen(subscription()))

        assert active(engine) == []
        assert rows(engine, "SELECT status FROM subscriptions") == ["unpaid"]

    def test_that_differs_within_a_second_is_to_be_asked_for_again(
        self, ledger: Ledger, engine: Engine
    ) -> None:
        observe(ledger, seen(subscription()))
        before = contents(engine)

        with pytest.raises(ObservationTaken, match="ask again"):
            observe(ledger, seen(customer("cus_9")), seen(subscription("unpaid")))

        assert contents(engine) == before

    def test_that_differs_on_one_page_is_to_be_asked_for_again(self, ledger: Ledger) -> None:
        with pytest.raises(ObservationTaken, match="ask again"):
            observe(ledger, seen(subscription()), seen(subscription("unpaid")))


class TestAnObjectThatIsGone:
    def test_ends_a_subscription_that_runs(self, ledger: Ledger, engine: Engine) -> None:
        ledger.record([delivery(updated("active", at=NOW - 60))])

        (change,) = observe(ledger, gone("subscription", "sub_1"))

        assert (change.known, change.unchanged) == (True, False)
        assert active(engine) == []
        assert rows(engine, "SELECT status, as_of FROM subscriptions") == [
            ("canceled", moment(NOW))
        ]

    @pytest.mark.parametrize("status", ["canceled", "incomplete_expired"])
    def test_says_nothing_of_a_subscription_that_has_ended(
        self, ledger: Ledger, engine: Engine, status: str
    ) -> None:
        ledger.record([delivery(updated(status, at=NOW - 60))])
        before = contents(engine)

        (change,) = observe(ledger, gone("subscription", "sub_1"))

        assert change.unchanged
        assert contents(engine) == before

    def test_says_nothing_of_a_subscription_that_is_unknown(
        self, ledger: Ledger, engine: Engine
    ) -> None:
        (change,) = observe(ledger, gone("subscription", "sub_9"))

        assert (change.known, change.unchanged) == (False, True)
        assert rows(engine, "SELECT count(*) FROM memberships") == [0]

    def test_ends_a_subscription_that_the_same_page_named_first(
        self, ledger: Ledger, engine: Engine
    ) -> None:
        changes = observe(ledger, seen(subscription(), at=NOW - 60), gone("subscription", "sub_1"))

        assert [each.unchanged for each in changes] == [False, False]
        assert rows(engine, "SELECT status FROM subscriptions") == ["canceled"]

    def test_of_another_family_says_nothing(self, ledger: Ledger, engine: Engine) -> None:
        ledger.record([delivery(event("payment_intent.succeeded", intent("pi_1")))])
        before = contents(engine)

        (change,) = observe(ledger, gone("payment_intent", "pi_1", at=NOW + 60))

        assert change.unchanged
        assert contents(engine) == before


class TestAnObjectThatIsCut:
    def test_is_a_pending_fetch_until_it_is_handed_in_whole(
        self, ledger: Ledger, engine: Engine
    ) -> None:
        cut = {**subscription()["items"], "has_more": True}
        target = FetchTarget(family="subscription", stripe_id="sub_1", later_than=moment(NOW))

        (first,) = observe(ledger, seen(subscription(items=cut)))
        (second,) = observe(ledger, seen(subscription(), at=NOW + 1))

        assert first.pending_fetches == (target,)
        assert second.pending_fetches == ()
        assert rows(engine, "SELECT cardinality(incomplete_items) FROM parties") == [0]


class TestAPreview:
    def test_returns_what_would_follow_and_writes_nothing(
        self, ledger: Ledger, engine: Engine
    ) -> None:
        given = [seen(subscription()), seen(intent("pi_1", customer="cus_2"))]
        before = contents(engine)

        previewed = ledger.preview_observed(given)

        assert contents(engine) == before
        assert previewed == ledger.observe(given, BY_ADA)

    def test_says_what_each_object_of_a_payment_changes_after_those_before_it(
        self, ledger: Ledger
    ) -> None:
        given = [seen(intent("pi_1")), seen(refunded("pi_1", 1000))]

        paid, back = ledger.preview_observed(given)

        moved = [
            [each.amount_minor for each in change.decisions if isinstance(each, MoneyMoved)]
            for change in (paid, back)
        ]
        assert moved == [[2999], [-1000]]


class TestTheTransaction:
    def test_holds_what_the_caller_writes(self, ledger: Ledger, engine: Engine) -> None:
        def then(connection: Connection) -> None:
            connection.execute(text("UPDATE database_epoch SET epoch = 'by the caller'"))

        ledger.observe([seen(subscription())], BY_ADA, then)

        assert rows(engine, "SELECT epoch FROM database_epoch") == ["by the caller"]

    def test_is_rolled_back_if_the_caller_fails(self, ledger: Ledger, engine: Engine) -> None:
        before = contents(engine)

        def fail(connection: Connection) -> None:
            connection.execute(text("SELECT 1 / 0"))

        with pytest.raises(DataError, match="division by zero"):
            ledger.observe([seen(subscription())], BY_ADA, fail)

        assert contents(engine) == before


def test_pages_and_events_of_the_same_customers_at_once_leave_what_one_after_the_other_would(
    ledger: Ledger, engine: Engine
) -> None:
    customers = [f"cus_{number}" for number in range(12)]
    page = [
        seen(subscription(id=f"sub_of_{each}", customer=each, metadata={"user_id": f"usr_{each}"}))
        for each in customers
    ]
    paid = [
        delivery(event("payment_intent.succeeded", intent(f"pi_of_{each}", customer=each)))
        for each in customers
    ]

    with ThreadPoolExecutor() as pool:
        pages = [pool.submit(observe, ledger_on(engine), *page[::way]) for way in (1, -1, 1)]
        events = [pool.submit(ledger_on(engine).record, paid[::-1]) for _ in range(2)]
    changes = [each for found in pages for each in found.result()]
    settled = [each for found in events for each in found.result()]

    assert len([each for each in changes if not each.unchanged]) == len(customers)
    assert len([each for each in settled if not each.hit]) == len(customers)
    assert sorted(active(engine)) == [(f"usr_{each}", "premium") for each in sorted(customers)]
    users = rows(engine, "SELECT user_id FROM payments ORDER BY user_id")
    assert users == [f"usr_{each}" for each in sorted(customers)]


@pytest.mark.parametrize("realm", ["live", "live/acct_1", "test/acct_2"])
def test_what_does_not_count_here_is_refused(engine: Engine, realm: str) -> None:
    ledger = Ledger(engine, livemode="test", accounts=frozenset({"acct_1"}))

    with pytest.raises(RealmExcluded, match="PAIDUP_CONNECT_ACCOUNTS"):
        observe(ledger, seen(subscription(), realm=Realm(realm)))


def test_a_listed_account_has_objects_of_its_own(engine: Engine) -> None:
    ledger = Ledger(engine, livemode="test", accounts=frozenset({"acct_1"}))

    its_own = subscription(id="sub_of_account", customer="cus_of_account")
    observe(ledger, seen(subscription()), seen(its_own, realm=Realm("test/acct_1")))

    assert len(active(engine)) == 2


class TestAPastThatIsArchived:
    @pytest.fixture
    def archived(self, ledger: Ledger, engine: Engine) -> str:
        """Record many old payments, and return one that is archived."""
        for number in range(40):
            at = NOW - (400 - number) * DAY
            stated = intent(f"pi_{number}", customer="cus_1", metadata={"user_id": "usr_1"})
            ledger.record([delivery(event("payment_intent.succeeded", stated, at=at))])
        (name, *_) = rows(
            engine, "SELECT payment_ref FROM payments WHERE archive <> '' ORDER BY payment_ref"
        )
        return str(name)

    def test_is_changed_by_what_is_seen_of_it(
        self, ledger: Ledger, engine: Engine, archived: str
    ) -> None:
        observe(ledger, seen({**refunded(archived), "customer": "cus_1"}))

        query = "SELECT amount_refunded_minor FROM payments WHERE payment_ref = :name"
        assert rows(engine, query, name=archived) == [2999]

    def test_stays_where_it_is_if_it_is_seen_as_it_was(
        self, ledger: Ledger, engine: Engine, archived: str
    ) -> None:
        stated = intent(archived, customer="cus_1", metadata={"user_id": "usr_1"})
        observe(ledger, seen(stated, at=NOW - 361 * DAY))
        for number in range(40, 80):
            another = intent(f"pi_{number}", customer="cus_1", metadata={"user_id": "usr_1"})
            at = NOW - (400 - number) * DAY
            ledger.record([delivery(event("payment_intent.succeeded", another, at=at))])
        query = "SELECT archive FROM payments WHERE payment_ref = :name"
        (archive,) = rows(engine, query, name=archived)
        assert archive

        (change,) = observe(ledger, seen(stated, at=NOW + 60))

        assert change.unchanged
        assert rows(engine, query, name=archived) == [archive]
