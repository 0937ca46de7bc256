"""Which requests an event leads to, and what their answers show."""

from dataclasses import replace
from typing import Any

import pytest

from billing.envelope import Envelope, parse
from billing.facts import CustomerFields, Fact, Kind
from billing.fetching.plan import (
    EVENT,
    MOST_PAGES,
    SESSION,
    SUMMARY,
    errand_of,
    left_open,
    next_request,
    sightings,
    too_early,
)
from billing.fetching.record import Fetched, Wanted, answer
from billing.rows import Projection
from tests.billing.event_builders import encoded, event
from tests.billing.fact_builders import at, checkout, customer, dispute, subscription, summary
from tests.stripe_account import Account

FEATURES = "/v1/entitlements/active_entitlements?customer=cus_1&limit=100"


def thin(event_type: str, related: Any = None) -> Envelope:
    payload = {
        "id": "evt_thin",
        "object": "v2.core.event",
        "type": event_type,
        "created": "2026-11-21T09:30:00.250Z",
        "livemode": False,
    }
    return parse(encoded(payload | ({"related_object": related} if related else {})))


def related(family: str, stripe_id: Any = "x_1") -> dict[str, Any]:
    return {"type": family, "id": stripe_id, "url": "/v1/somewhere"}


def asked(wanted: Wanted, account: Account) -> list[str]:
    return [each.request for each in account.fetch(wanted, at=at(0)).answers]


def seen(fetched: Fetched) -> list[Any]:
    return [sighting.raw for sighting in sightings(fetched)]


class TestWhatAThinEventIsAbout:
    def test_its_object_if_that_bears_on_access_or_money(self) -> None:
        about = thin("v1.customer.subscription.past_due", related("subscription", "sub_1"))

        assert errand_of(about) == (Wanted(family="subscription", stripe_id="sub_1"),)

    def test_itself_where_a_summary_changed_which_has_no_id(self) -> None:
        about = thin(f"v1.{SUMMARY}.entitlement_added")

        assert errand_of(about) == (Wanted(family=EVENT, stripe_id="evt_thin"),)

    @pytest.mark.parametrize(
        "envelope",
        [
            thin("v2.money_management.payout.created", related("v2.money_management.payout")),
            thin("v1.product.updated", related("product")),
            thin("v1.customer.updated", related("customer", 7)),
            thin("v1.customer.updated"),
            thin("v1.invoice.upcoming"),
            event("customer.updated", {"id": "cus_1", "object": "customer"}),
        ],
    )
    def test_nothing_else(self, envelope: Envelope) -> None:
        assert errand_of(envelope) == ()


class TestRequests:
    @pytest.mark.parametrize(
        ("family", "path"),
        [
            ("customer", "/v1/customers/x_1"),
            ("subscription", "/v1/subscriptions/x_1"),
            ("checkout.session", "/v1/checkout/sessions/x_1?expand[]=line_items"),
            ("payment_intent", "/v1/payment_intents/x_1"),
            ("charge", "/v1/charges/x_1"),
            ("refund", "/v1/refunds/x_1"),
            ("dispute", "/v1/disputes/x_1"),
            ("invoice", "/v1/invoices/x_1?expand[]=payments"),
            ("invoice_payment", "/v1/invoice_payments/x_1"),
        ],
    )
    def test_an_object_is_one_request(self, family: str, path: str) -> None:
        account = Account()
        account.put({"id": "x_1", "object": family})

        assert asked(Wanted(family=family, stripe_id="x_1"), account) == [path]

    def test_an_id_cannot_lead_elsewhere(self) -> None:
        wanted = Wanted(family="customer", stripe_id="../../v1/balance?x#y")

        assert next_request(Fetched(wanted=(wanted,))) == (
            "/v1/customers/..%2F..%2Fv1%2Fbalance%3Fx%23y"
        )

    def test_a_list_is_read_to_its_end(self) -> None:
        account = Account(page_size=2)
        account.features["cus_1"] = [(at(-9), list("abcde"))]

        requests = asked(Wanted(family=SUMMARY, stripe_id="cus_1"), account)

        after = f"{FEATURES}&starting_after="
        assert requests == [FEATURES, f"{after}ent_b", f"{after}ent_d"]

    def test_a_list_without_end_is_given_up(self) -> None:
        account = Account(page_size=1)
        account.features["cus_1"] = [(at(-9), [f"f{n}" for n in range(99)])]

        fetched = account.fetch(Wanted(family=SUMMARY, stripe_id="cus_1"), at=at(0))

        assert len(fetched.answers) == MOST_PAGES
        assert seen(fetched)[0]["entitlements"]["has_more"] is True

    @pytest.mark.parametrize("data", [[], [{"lookup_key": "a"}], "x"])
    def test_a_list_that_says_it_goes_on_and_not_how_ends(self, data: Any) -> None:
        wanted = Wanted(family=SUMMARY, stripe_id="cus_1")
        page = answer(FEATURES, 200, at(0), encoded({"data": data, "has_more": True}).decode())

        fetched = Fetched(wanted=(wanted,)).with_answer(page)

        assert next_request(fetched) is None
        assert seen(fetched)[0]["entitlements"]["has_more"] is True

    def test_line_items_beyond_the_first_page_are_read_too(self) -> None:
        account = Account()
        account.put({"id": "cs_1", "object": SESSION})
        account.line_items["cs_1"] = [{"id": f"li_{n}", "price": f"price_{n}"} for n in range(12)]

        fetched = account.fetch(Wanted(family=SESSION, stripe_id="cs_1"), at=at(0))

        assert [each.request for each in fetched.answers] == [
            "/v1/checkout/sessions/cs_1?expand[]=line_items",
            "/v1/checkout/sessions/cs_1/line_items?limit=100",
        ]
        assert len(seen(fetched)[0]["line_items"]["data"]) == 12

    def test_everything_wanted_is_asked_for_in_turn(self) -> None:
        account = Account()
        account.put({"id": "cus_1", "object": "customer"})
        wanted = (
            Wanted(family="customer", stripe_id="cus_1"),
            Wanted(family="subscription", stripe_id="sub_1"),
        )

        fetched = account.fetch(*wanted, at=at(0))

        assert seen(fetched) == [{"id": "cus_1", "object": "customer"}, None]


class TestTheCustomerBehindAnEvent:
    wanted = Wanted(family=EVENT, stripe_id="evt_thin")

    def account(self, **event: Any) -> Account:
        account = Account(thin={"evt_thin": {"id": "evt_thin", **event}})
        account.features["cus_1"] = [(at(-9), ["a"])]
        return account

    def test_is_named_by_the_snapshot_event_beside_it(self) -> None:
        account = self.account(snapshot_event="evt_1")
        told = {"object": {"object": SUMMARY, "customer": "cus_1"}}
        account.put({"id": "evt_1", "object": "event", "data": told})

        assert asked(self.wanted, account) == [
            "/v2/core/events/evt_thin",
            "/v1/events/evt_1",
            FEATURES,
        ]

    @pytest.mark.parametrize(
        "named", [{"data": {"customer": "cus_1"}}, {"changes": {"after": {"customer": "cus_1"}}}]
    )
    def test_may_be_named_by_the_event_itself(self, named: dict[str, Any]) -> None:
        account = self.account(snapshot_event="evt_1", **named)

        assert asked(self.wanted, account) == ["/v2/core/events/evt_thin", FEATURES]
        assert seen(account.fetch(self.wanted, at=at(0)))[0]["customer"] == "cus_1"

    def test_may_be_named_by_nobody(self) -> None:
        account = self.account(snapshot_event=None)

        fetched = account.fetch(self.wanted, at=at(0))

        assert [each.request for each in fetched.answers] == ["/v2/core/events/evt_thin"]
        assert seen(fetched) == []

    def test_is_unknown_where_the_snapshot_event_is_gone(self) -> None:
        account = self.account(snapshot_event="evt_1")

        assert seen(account.fetch(self.wanted, at=at(0))) == []


def test_nothing_is_seen_before_it_is_answered() -> None:
    wanted = (
        Wanted(family="customer", stripe_id="cus_1"),
        Wanted(family=SUMMARY, stripe_id="cus_1"),
    )

    assert seen(Fetched(wanted=wanted)) == []


def test_features_of_a_customer_who_is_gone_are_gone() -> None:
    wanted = Wanted(family=SUMMARY, stripe_id="cus_1")
    fetched = Fetched(wanted=(wanted,)).with_answer(answer(FEATURES, 404, at(0), "{}"))

    assert seen(fetched) == [None]


@pytest.mark.parametrize(
    ("later_than", "seconds", "early"),
    [(None, 0, False), (0.9, 0, True), (0, 0, True), (0, 1, False)],
)
def test_an_answer_of_the_second_that_was_to_be_over_is_too_early(
    later_than: float | None, seconds: float, *, early: bool
) -> None:
    after = None if later_than is None else at(later_than)
    wanted = Wanted(family="subscription", stripe_id="sub_1", later_than=after)

    assert too_early(Account().fetch(wanted, at=at(seconds))) is early


class TestWhatIsLeftOpen:
    def of(
        self, fact: Fact, projection: Projection, fetched: Fetched | None = None
    ) -> tuple[Wanted, ...]:
        return left_open([fact], projection, {fact.object_key: at(7)}, fetched)

    def test_an_order_that_was_guessed(self) -> None:
        fact = subscription("active", 7)

        assert self.of(fact, Projection(undecided=frozenset({fact.object_key}))) == (
            Wanted(family="subscription", stripe_id="sub_1", later_than=at(7)),
        )

    def test_a_list_that_was_cut_off(self) -> None:
        fact = summary("a", complete=False)
        assert fact.customer_id is not None

        assert self.of(fact, Projection(incomplete_summaries=frozenset({fact.customer_id}))) == (
            Wanted(family=SUMMARY, stripe_id="cus_1", later_than=at(7)),
        )

    def test_a_checkout_whose_line_items_may_name_a_plan(self) -> None:
        fact = checkout(7)

        assert self.of(fact, Projection(unlisted=frozenset({fact.object_key}))) == (
            Wanted(family=SESSION, stripe_id="cs_1", later_than=at(7)),
        )

    def test_nothing_of_what_the_event_is_not_about(self) -> None:
        other = subscription("active", 7, stripe_id="sub_2")
        open_elsewhere = Projection(undecided=frozenset({other.object_key}))

        assert self.of(subscription("active", 7), open_elsewhere) == ()
        assert self.of(customer("usr_1", 7), open_elsewhere) == ()

    def test_no_dispute_without_an_id(self) -> None:
        fact = replace(dispute("lost", 7, stripe_id="dispute/ch_1"))

        assert self.of(fact, Projection(undecided=frozenset({fact.object_key}))) == ()

    def test_what_was_looked_at_is_not_looked_at_again_for_what_it_did_not_say(self) -> None:
        fact, account = checkout(7), Account()
        account.put({"id": "cs_1", "object": SESSION})
        fetched = account.fetch(Wanted(family=SESSION, stripe_id="cs_1"), at=at(9))

        assert self.of(fact, Projection(unlisted=frozenset({fact.object_key})), fetched) == ()

    def test_an_order_that_is_still_open_is_asked_for_again(self) -> None:
        fact, account = subscription("active", 7), Account()
        account.put({"id": "sub_1", "object": "subscription"})
        fetched = account.fetch(Wanted(family="subscription", stripe_id="sub_1"), at=at(9))
        undecided = Projection(undecided=frozenset({fact.object_key}))

        assert len(self.of(fact, undecided, fetched)) == 1

    def test_an_order_that_nothing_can_decide_any_more_is_not(self) -> None:
        fact = subscription("active", 7)
        gone = Account().fetch(Wanted(family="subscription", stripe_id="sub_1"), at=at(9))

        assert self.of(fact, Projection(undecided=frozenset({fact.object_key})), gone) == ()


def test_every_kind_of_fact_has_a_family_to_ask_for() -> None:
    whoever = CustomerFields(user_id=None, deleted=False)
    for kind in Kind:
        fact = replace(customer(None), kind=kind, fields=whoever)
        undecided = Projection(undecided=frozenset({fact.object_key}))

        assert left_open([fact], undecided, {fact.object_key: at(0)}, None)
