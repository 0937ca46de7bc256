"""The requests that an event leads to, and the objects in their responses."""

from dataclasses import replace
from typing import Any

import pytest

from billing.envelope import Envelope, parse
from billing.facts import CreditedLine, CustomerFields, Fact, Kind, Line
from billing.families import STATED_BY_PEOPLE
from billing.fetching.observations import Observations
from billing.fetching.plan import (
    EVENT,
    MAX_PAGES,
    SESSION,
    SUMMARY,
    next_request,
    observations_in,
    open_fetches,
    plan_fetches,
    shows_a_part,
    too_early,
)
from billing.fetching.record import FetchRecord, FetchTarget, read_response
from billing.rows import Projection
from ops.samples.worlds.offers import StripePrice
from tests.billing.event_builders import encoded, event
from tests.billing.fact_builders import (
    at,
    checkout,
    credit_note,
    customer,
    dispute,
    invoice,
    subscription,
    summary,
)
from tests.stripe.account import FakeStripeAccount

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


def requests_for(target: FetchTarget, account: FakeStripeAccount) -> list[str]:
    return [each.request for each in account.ask(target, at=at(0)).responses]


def fetched_json(fetched: FetchRecord) -> list[Any]:
    return [each.raw for each in observations_in(fetched)]


class TestPlanFetches:
    def test_its_object_if_that_bears_on_access_or_money(self) -> None:
        about = thin("v1.customer.subscription.past_due", related("subscription", "sub_1"))

        assert plan_fetches(about) == (FetchTarget(family="subscription", stripe_id="sub_1"),)

    def test_itself_if_a_summary_changed_which_has_no_id(self) -> None:
        about = thin(f"v1.{SUMMARY}.entitlement_added")

        assert plan_fetches(about) == (FetchTarget(family=EVENT, stripe_id="evt_thin"),)

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
        assert plan_fetches(envelope) == ()


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
        account = FakeStripeAccount()
        account.put({"id": "x_1", "object": family})

        assert requests_for(FetchTarget(family=family, stripe_id="x_1"), account) == [path]

    def test_an_id_cannot_lead_elsewhere(self) -> None:
        target = FetchTarget(family="customer", stripe_id="../../v1/balance?x#y")

        assert next_request(FetchRecord(targets=(target,))) == (
            "/v1/customers/..%2F..%2Fv1%2Fbalance%3Fx%23y"
        )

    def test_a_list_is_read_to_its_end(self) -> None:
        account = FakeStripeAccount(page_size=2)
        account.features["cus_1"] = [(at(-9), list("abcde"))]

        requests = requests_for(FetchTarget(family=SUMMARY, stripe_id="cus_1"), account)

        after = f"{FEATURES}&starting_after="
        assert requests == [FEATURES, f"{after}ent_test_1_b", f"{after}ent_test_1_d"]

    def test_an_id_leads_to_no_other_path_in_the_request_for_the_next_page(self) -> None:
        page = '{"data": [{"id": "ent_a/b&c"}], "has_more": true}'
        seen = FetchRecord(targets=(FetchTarget(family=SUMMARY, stripe_id="cus_1"),)).with_response(
            read_response(FEATURES, 200, at(0), page)
        )

        assert next_request(seen) == f"{FEATURES}&starting_after=ent_a%2Fb%26c"

    def test_a_list_without_end_is_given_up(self) -> None:
        account = FakeStripeAccount(page_size=1)
        account.features["cus_1"] = [(at(-9), [f"f{n}" for n in range(99)])]

        fetched = account.ask(FetchTarget(family=SUMMARY, stripe_id="cus_1"), at=at(0))

        assert len(fetched.responses) == MAX_PAGES
        assert fetched_json(fetched)[0]["entitlements"]["has_more"] is True

    @pytest.mark.parametrize("data", [[], [{"lookup_key": "a"}], "x"])
    def test_a_list_that_says_it_goes_on_and_not_how_ends(self, data: Any) -> None:
        target = FetchTarget(family=SUMMARY, stripe_id="cus_1")
        page = read_response(
            FEATURES, 200, at(0), encoded({"data": data, "has_more": True}).decode()
        )

        fetched = FetchRecord(targets=(target,)).with_response(page)

        assert next_request(fetched) is None
        assert fetched_json(fetched)[0]["entitlements"]["has_more"] is True

    def test_line_items_beyond_the_first_page_are_read_too(self) -> None:
        account = FakeStripeAccount()
        account.put({"id": "cs_1", "object": SESSION})
        prices = [StripePrice(price=f"price_{n}", product="prod_1", amount=n) for n in range(12)]
        account.sell("cs_1", *prices)

        fetched = account.ask(FetchTarget(family=SESSION, stripe_id="cs_1"), at=at(0))

        assert [each.request for each in fetched.responses] == [
            "/v1/checkout/sessions/cs_1?expand[]=line_items",
            "/v1/checkout/sessions/cs_1/line_items?limit=100",
        ]
        assert len(fetched_json(fetched)[0]["line_items"]["data"]) == 12

    @pytest.mark.parametrize(
        ("family", "name", "first", "pages"),
        [
            (
                "subscription",
                "items",
                "/v1/subscriptions/x_1",
                "/v1/subscription_items?subscription=x_1&limit=100",
            ),
            (
                "invoice",
                "lines",
                "/v1/invoices/x_1?expand[]=payments",
                "/v1/invoices/x_1/lines?limit=100",
            ),
            (
                "credit_note",
                "lines",
                "/v1/credit_notes/x_1",
                "/v1/credit_notes/x_1/lines?limit=100",
            ),
        ],
    )
    def test_a_list_that_its_object_cuts_off_is_read_whole(
        self, family: str, name: str, first: str, pages: str
    ) -> None:
        account = FakeStripeAccount()
        account.put({"id": "x_1", "object": family})
        account.listed["x_1"] = [{"id": f"si_{n}"} for n in range(12)]

        fetched = account.ask(FetchTarget(family=family, stripe_id="x_1"), at=at(0))

        assert [each.request for each in fetched.responses] == [first, pages]
        assert len(fetched_json(fetched)[0][name]["data"]) == 12
        assert fetched_json(fetched)[0][name]["has_more"] is False

    def test_every_target_is_requested_in_turn(self) -> None:
        account = FakeStripeAccount()
        account.put({"id": "cus_1", "object": "customer"})
        target = (
            FetchTarget(family="customer", stripe_id="cus_1"),
            FetchTarget(family="subscription", stripe_id="sub_1"),
        )

        fetched = account.ask(*target, at=at(0))

        assert fetched_json(fetched) == [{"id": "cus_1", "object": "customer"}, None]


class TestTheCustomerBehindAnEvent:
    target = FetchTarget(family=EVENT, stripe_id="evt_thin")

    def account(self, **event: Any) -> FakeStripeAccount:
        account = FakeStripeAccount(thin={"evt_thin": {"id": "evt_thin", **event}})
        account.features["cus_1"] = [(at(-9), ["a"])]
        return account

    def test_is_named_by_the_snapshot_event_beside_it(self) -> None:
        account = self.account(snapshot_event="evt_1")
        response = {"object": {"object": SUMMARY, "customer": "cus_1"}}
        account.put({"id": "evt_1", "object": "event", "data": response})

        assert requests_for(self.target, account) == [
            "/v2/core/events/evt_thin",
            "/v1/events/evt_1",
            FEATURES,
        ]

    @pytest.mark.parametrize(
        "named", [{"data": {"customer": "cus_1"}}, {"changes": {"after": {"customer": "cus_1"}}}]
    )
    def test_may_be_named_by_the_event_itself(self, named: dict[str, Any]) -> None:
        account = self.account(snapshot_event="evt_1", **named)

        assert requests_for(self.target, account) == ["/v2/core/events/evt_thin", FEATURES]
        assert fetched_json(account.ask(self.target, at=at(0)))[0]["customer"] == "cus_1"

    def test_may_be_named_by_no_event(self) -> None:
        account = self.account(snapshot_event=None)

        fetched = account.ask(self.target, at=at(0))

        assert [each.request for each in fetched.responses] == ["/v2/core/events/evt_thin"]
        assert fetched_json(fetched) == []

    def test_is_unknown_if_the_snapshot_event_no_longer_exists(self) -> None:
        account = self.account(snapshot_event="evt_1")

        assert fetched_json(account.ask(self.target, at=at(0))) == []


def test_no_object_is_returned_before_its_response() -> None:
    target = (
        FetchTarget(family="customer", stripe_id="cus_1"),
        FetchTarget(family=SUMMARY, stripe_id="cus_1"),
    )

    assert fetched_json(FetchRecord(targets=target)) == []


def test_a_customer_that_no_longer_exists_has_no_features() -> None:
    target = FetchTarget(family=SUMMARY, stripe_id="cus_1")
    fetched = FetchRecord(targets=(target,)).with_response(
        read_response(FEATURES, 404, at(0), "{}")
    )

    assert fetched_json(fetched) == [None]


def test_an_observation_is_the_response_to_the_byte_with_its_api_version() -> None:
    text = '{"id": "cus_1",\t"object": "customer"}'
    target = FetchTarget(family="customer", stripe_id="cus_1")
    response = read_response("/v1/customers/cus_1", 200, at(3), text, "2026-10-28.endive")

    (shown,) = observations_in(FetchRecord(targets=(target,)).with_response(response))

    assert (shown.payload, shown.api_version, shown.asked_at) == (text, "2026-10-28.endive", at(3))
    assert (shown.family, shown.object_id, shown.gone) == ("customer", "cus_1", False)


def test_the_features_of_a_customer_that_no_longer_exists_are_what_stripe_said() -> None:
    text = '{"error": {"code": "resource_missing"}}'
    target = FetchTarget(family=SUMMARY, stripe_id="cus_1")
    response = read_response(FEATURES, 404, at(3), text)

    (shown,) = observations_in(FetchRecord(targets=(target,)).with_response(response))

    assert (shown.payload, shown.gone) == (text, True)


def test_pages_are_kept_as_one_compact_list_of_stripes_shape() -> None:
    account = FakeStripeAccount()
    account.features["cus_1"] = [(at(-9), [])]

    (shown,) = account.fetch(FetchTarget(family=SUMMARY, stripe_id="cus_1"), at=at(0))

    assert shown.payload == (
        f'{{"object":"{SUMMARY}","customer":"cus_1",'
        '"entitlements":{"object":"list","data":[],"has_more":false}}'
    )


@pytest.mark.parametrize(
    ("later_than", "seconds", "early"),
    [(None, 0, False), (0.9, 0, True), (0, 0, True), (0, 1, False)],
)
def test_a_response_of_the_second_of_the_newest_fact_is_too_early(
    later_than: float | None, seconds: float, *, early: bool
) -> None:
    after = None if later_than is None else at(later_than)
    target = FetchTarget(family="subscription", stripe_id="sub_1", later_than=after)

    assert too_early(FakeStripeAccount().ask(target, at=at(seconds))) is early


class TestOpenFetches:
    def of(
        self, fact: Fact, projection: Projection, fetched: Observations = ()
    ) -> tuple[FetchTarget, ...]:
        return open_fetches([fact], projection, {fact.object_key: at(7)}, fetched)

    def test_an_order_that_was_guessed(self) -> None:
        fact = subscription("active", 7)

        assert self.of(fact, Projection(undecided=frozenset({fact.object_key}))) == (
            FetchTarget(family="subscription", stripe_id="sub_1", later_than=at(7)),
        )

    def test_a_list_that_was_cut_off(self) -> None:
        fact = summary("a", complete=False)
        assert fact.customer_id is not None

        assert self.of(fact, Projection(incomplete_summaries=frozenset({fact.customer_id}))) == (
            FetchTarget(family=SUMMARY, stripe_id="cus_1", later_than=at(7)),
        )

    def test_a_checkout_whose_line_items_may_name_a_plan(self) -> None:
        fact = checkout(7)

        assert self.of(fact, Projection(without_line_items=frozenset({fact.object_key}))) == (
            FetchTarget(family=SESSION, stripe_id="cs_1", later_than=at(7)),
        )

    def test_a_subscription_whose_items_were_cut_off(self) -> None:
        fact = subscription("active", 7)

        assert self.of(fact, Projection(incomplete_items=frozenset({fact.object_key}))) == (
            FetchTarget(family="subscription", stripe_id="sub_1", later_than=at(7)),
        )

    @pytest.mark.parametrize(
        ("status", "newest", "asked"), [("paid", 7, True), ("open", 7, False), ("paid", 9, False)]
    )
    def test_the_cut_lines_of_a_paid_invoice_unless_something_newer_is_known(
        self, status: str, newest: float, *, asked: bool
    ) -> None:
        line = Line(id="il_1", amount=1, price=None, lookup_key=None, product=None)
        fact = invoice(7, status=status, lines=(line,), lines_complete=False)
        states = {fact.object_key: at(newest)}

        assert bool(open_fetches([fact], Projection(), states, ())) is asked
        for other in (invoice(7, lines=(line,)), invoice(7, lines=(), lines_complete=False)):
            assert not open_fetches([other], Projection(), states, ())

    def test_the_cut_lines_of_a_credit_note_once(self) -> None:
        line = CreditedLine(invoice_line="il_1", amount=1, quantity=None)
        fact = credit_note(7, lines=(line,), lines_complete=False)
        account = FakeStripeAccount()
        account.put({"id": "cn_1", "object": "credit_note"})
        (target,) = self.of(fact, Projection())

        assert self.of(fact, Projection(), account.fetch(target, at=at(9))) == ()
        assert self.of(credit_note(7, lines=(line,)), Projection()) == ()
        assert self.of(credit_note(7, lines=(), lines_complete=False), Projection()) == ()

    def test_nothing_of_what_the_event_is_not_about(self) -> None:
        other = subscription("active", 7, stripe_id="sub_2")
        open_elsewhere = Projection(undecided=frozenset({other.object_key}))

        assert self.of(subscription("active", 7), open_elsewhere) == ()
        assert self.of(customer("usr_1", 7), open_elsewhere) == ()

    def test_no_dispute_without_an_id(self) -> None:
        fact = replace(dispute("lost", 7, stripe_id="dispute/ch_1"))

        assert self.of(fact, Projection(undecided=frozenset({fact.object_key}))) == ()

    def test_an_object_is_not_fetched_again_for_what_it_did_not_state(self) -> None:
        fact, account = checkout(7), FakeStripeAccount()
        account.put({"id": "cs_1", "object": SESSION})
        fetched = account.fetch(FetchTarget(family=SESSION, stripe_id="cs_1"), at=at(9))

        assert (
            self.of(fact, Projection(without_line_items=frozenset({fact.object_key})), fetched)
            == ()
        )

    def test_an_order_that_is_still_open_is_asked_for_again(self) -> None:
        fact, account = subscription("active", 7), FakeStripeAccount()
        account.put({"id": "sub_1", "object": "subscription"})
        fetched = account.fetch(FetchTarget(family="subscription", stripe_id="sub_1"), at=at(9))
        undecided = Projection(undecided=frozenset({fact.object_key}))

        assert len(self.of(fact, undecided, fetched)) == 1

    def test_an_order_that_nothing_can_decide_is_not(self) -> None:
        fact = subscription("active", 7)
        gone = FakeStripeAccount().fetch(
            FetchTarget(family="subscription", stripe_id="sub_1"), at=at(9)
        )

        assert self.of(fact, Projection(undecided=frozenset({fact.object_key})), gone) == ()


def test_every_kind_of_fact_that_stripe_knows_can_be_asked_for() -> None:
    customer_fields = CustomerFields(deleted=False)
    for kind in Kind:
        fact = replace(customer(None), kind=kind, fields=customer_fields)
        undecided = Projection(undecided=frozenset({fact.object_key}))
        fetches = open_fetches([fact], undecided, {fact.object_key: at(0)}, ())

        assert bool(fetches) is (kind not in STATED_BY_PEOPLE)


def test_a_fact_that_has_no_id_to_ask_for_does_not_hide_the_others() -> None:
    without_id, fact = dispute("lost", stripe_id="ch_1/dispute"), subscription("active", 7)
    undecided = Projection(undecided=frozenset({without_id.object_key, fact.object_key}))
    states = {each.object_key: at(7) for each in (without_id, fact)}

    assert [each.stripe_id for each in open_fetches([without_id, fact], undecided, states, ())] == [
        "sub_1"
    ]


@pytest.mark.parametrize(
    ("family", "raw", "lacks"),
    [
        ("invoice", {"lines": {"data": [], "has_more": True}}, True),
        ("subscription", {"items": {"data": [{}], "total_count": 2}}, True),
        (SESSION, {"line_items": {"data": [{}], "has_more": False}}, False),
        (SESSION, {}, False),
        ("charge", {"refunds": {"data": [], "has_more": True}}, False),
    ],
)
def test_an_object_shows_a_part_if_a_list_in_it_was_cut_off(
    family: str,
    raw: dict[str, Any],
    lacks: bool,  # noqa: FBT001 - a row of the table above
) -> None:
    assert shows_a_part(family, raw) is lacks
