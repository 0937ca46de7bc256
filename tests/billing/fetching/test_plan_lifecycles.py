"""Thin events end as snapshots do once their object is fetched: in any order, one or both."""

import json
from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta
from functools import cache
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from billing.envelope import Envelope, parse, snapshot_type
from billing.fact_codec import fact_from_json, fact_to_json
from billing.facts import OBSERVED, Fact, InvoiceFields, Kind, Rank
from billing.fetching.observations import ApiObservation, Observations, join_observations
from billing.fetching.plan import observations_in, open_fetches, plan_fetches, too_early
from billing.fetching.record import FetchRecord, FetchTarget, read_response
from billing.ids import EventId
from billing.objects.ordering import order_facts
from billing.projection.party import PartyFacts
from billing.readers.reader import STATED_BY_TYPE
from billing.readers.registry import IgnoredReason, read_event
from billing.rows import Projection
from ops.samples.api_shapes import Shape
from ops.samples.lifecycles.registry import scenarios_in
from ops.samples.worlds.offers import StripePrice
from ops.samples.worlds.records import (
    Charge,
    Customer,
    FeatureList,
    Invoice,
    InvoicePayment,
    Refund,
    Session,
    Subscription,
    SubscriptionItem,
)
from tests.billing.event_builders import document, encoded, event, printed
from tests.billing.fact_builders import CATALOGUE, DAY, START, amounts, at, only_grant
from tests.billing.lifecycle_facts import NOW, SHOP, ending, expected_ending, play_lifecycle
from tests.stripe.account import FakeStripeAccount, account_of
from tests.stripe.state import moment

SECOND = timedelta(seconds=1)
NAMES = scenarios_in(Shape.NEW)
RANDOMS = st.randoms(use_true_random=False)


@cache
def account_and_events(name: str) -> tuple[FakeStripeAccount, tuple[dict[str, Any], ...]]:
    """Return the account in which a lifecycle happened, and its events."""
    payloads = tuple(event.payload for event in play_lifecycle(name, Shape.NEW).events)
    account = account_of(payloads)
    for payload in payloads:
        account.thin_event(payload)
    return account, payloads


def thin_of(payload: dict[str, Any], account: FakeStripeAccount) -> Envelope:
    return parse(encoded(account.thin_event(payload)))


class FetchingReader:
    """Reads events as a worker does: read, fetch what is open, read again."""

    def __init__(
        self, account: FakeStripeAccount, catalogue: Any = SHOP, now: datetime = START
    ) -> None:
        self.account = account
        self.party = PartyFacts()
        self.catalogue = catalogue
        self.now = now
        self.projection = Projection()
        self.fetches = 0
        self.observed: dict[EventId, ApiObservation] = {}

    def thin(self, envelope: Envelope, at: datetime, sees: datetime | None = None) -> None:
        self._learn(envelope, self._fetched(plan_fetches(envelope), at, sees), at)

    def snapshot(self, envelope: Envelope, at: datetime) -> None:
        self._learn(envelope, None, at)

    def _learn(self, envelope: Envelope, observed: Observations | None, at: datetime) -> None:
        facts = stored(read_event(envelope, observed).facts)
        statements = [envelope.event_id, *(each.id for each in observed or ())]
        for each in statements:
            self.party.replace(each, [fact for fact in facts if fact.event_id == each])
        self.projection = self.party.project(self.catalogue, self.now)
        states = {fact.object_key: self.party.state_of(fact).created_at for fact in facts}
        target = open_fetches(facts, self.projection, states, observed or ())
        if target:
            at = max([at, *(each.later_than for each in target if each.later_than)]) + SECOND
            more = self._fetched(target, at, None)
            self._learn(envelope, join_observations(observed or (), more), at)

    def _fetched(
        self, target: Iterable[FetchTarget], at: datetime, sees: datetime | None
    ) -> Observations:
        """Ask until no other answer of the same second is known, as a worker does."""
        self.fetches += 1
        assert self.fetches < 200, "it fetches for ever"
        observed = self.account.fetch(*target, at=at, sees=sees)
        if any(self.observed.setdefault(each.id, each) != each for each in observed):
            return self._fetched(target, at + SECOND, None if sees is None else sees + SECOND)
        return observed


def stored(facts: Iterable[Fact]) -> list[Fact]:
    """Return facts as the database returns them."""
    return [fact_from_json(json.loads(json.dumps(fact_to_json(fact)))) for fact in facts]


def outcome(projection: Projection) -> dict[str, Any]:
    """Return what applications read: the grants and the payments."""
    end = ending(projection)
    end["grants"] = {key: grant for key, grant in end["grants"].items() if grant[0]}
    return end


@pytest.mark.parametrize("name", NAMES)
def test_thin_events_fetched_as_they_come_end_as_the_snapshots_do(name: str) -> None:
    account, payloads = account_and_events(name)
    reader = FetchingReader(account)

    for number, payload in enumerate(payloads):
        # Nothing else happens at Stripe before the object is fetched.
        upto = account_of(payloads[: number + 1])
        upto.thin = account.thin
        reader.account = upto
        reader.thin(thin_of(payload, account), moment(payload["created"] + number / 1000))

    reader.account = account
    expected = play_lifecycle(name, Shape.NEW).expected
    assert outcome(reader.projection) == expected_outcome(expected)


@pytest.mark.parametrize("name", NAMES)
def test_thin_events_fetched_long_after_end_as_the_snapshots_do(name: str) -> None:
    """See only the final states: the API no longer shows the ones in between."""
    account, payloads = account_and_events(name)
    reader = FetchingReader(account)

    for number, payload in enumerate(payloads):
        reader.thin(thin_of(payload, account), moment(NOW + 60 + number))

    assert outcome(reader.projection) == expected_outcome(play_lifecycle(name, Shape.NEW).expected)


def expected_outcome(expected: Any) -> dict[str, Any]:
    end = expected_ending(expected)
    end["grants"] = {key: grant for key, grant in end["grants"].items() if grant[0]}
    return end


@settings(max_examples=40)
@given(st.sampled_from(NAMES), RANDOMS)
def test_twins_do_no_harm_in_any_order_and_any_number(name: str, chance: Random) -> None:
    account, payloads = account_and_events(name)
    reader = FetchingReader(account)
    deliveries = [(payload, chance.random() < 0.5) for payload in payloads for _ in range(2)]
    deliveries += [(payload, True) for payload in payloads]
    chance.shuffle(deliveries)

    for number, (payload, is_thin) in enumerate(deliveries):
        fetched_at = moment(NOW + number // 3)
        if is_thin:
            reader.thin(thin_of(payload, account), fetched_at)
        else:
            reader.snapshot(parse(encoded(payload)), fetched_at)

    assert outcome(reader.projection) == expected_outcome(play_lifecycle(name, Shape.NEW).expected)


@st.composite
def subscription_lives(draw: st.DrawFn) -> list[tuple[int, str]]:
    """Draw the statuses of one subscription with their seconds, which often collide."""
    gaps = draw(st.lists(st.sampled_from([0, 0, 1, 2]), min_size=1, max_size=6))
    statuses = st.sampled_from(["incomplete", "active", "past_due", "unpaid", "trialing"])
    seconds = [sum(gaps[: n + 1]) for n in range(len(gaps))]
    return [(second, draw(statuses)) for second in seconds]


@given(subscription_lives(), RANDOMS)
def test_a_mixture_of_both_ends_in_the_truth(life: list[tuple[int, str]], chance: Random) -> None:
    """Leave nothing to guess with an API key, whenever the fetches happen."""
    account, truth = FakeStripeAccount(), []
    for number, (second, status) in enumerate(life):
        created = moment(NOW + second)
        stated = living(status)
        account.put(stated, created + timedelta(milliseconds=number * 10))
        truth.append(changed(number, stated, NOW + second))
    reader = FetchingReader(account, CATALOGUE)
    deliveries = [(n, chance.random() < 0.5) for n in range(len(life)) for _ in range(2)]
    chance.shuffle(deliveries)

    for n, is_thin in deliveries:
        happened = moment(NOW + life[n][0] + 0.001 * n * 10)
        delay = chance.choice([0.0, 0.0, 0.3, 1.0, 5.0])
        if is_thin:
            seen_at = happened + timedelta(seconds=delay)
            reader.thin(thin_of(truth[n], account), seen_at.replace(microsecond=0), seen_at)
        else:
            reader.snapshot(parse(encoded(truth[n])), happened)
    reader.account = account
    last = len(life) - 1
    reader.thin(thin_of(truth[last], account), moment(NOW + life[-1][0] + 9))

    assert not reader.projection.undecided
    (row,) = reader.projection.subscriptions.values()
    assert row.status == life[-1][1]


PREMIUM = StripePrice(price="price_premium", product="prod_premium", amount=2999)


def living(status: str) -> dict[str, Any]:
    return printed(
        Subscription(
            id="sub_1",
            customer="cus_1",
            created=NOW - 9 * DAY,
            status=status,
            metadata={"user_id": "usr_1"},
            items=(
                SubscriptionItem(
                    id="si_1",
                    offer=PREMIUM,
                    quantity=1,
                    start=NOW - 9 * DAY,
                    end=NOW + 21 * DAY,
                ),
            ),
        )
    )


def changed(number: int, stated: dict[str, Any], created: int) -> dict[str, Any]:
    return document("customer.subscription.updated", stated, id=f"evt_{number}", created=created)


class TestThinEventReading:
    payload = changed(1, living("active"), NOW)

    def test_waits_for_a_key_without_one(self) -> None:
        assert (
            read_event(thin_of(self.payload, FakeStripeAccount())).ignored
            is IgnoredReason.NEEDS_API_KEY
        )

    def test_states_its_object_as_the_api_showed_it(self) -> None:
        account = account_of([self.payload])
        envelope = thin_of(self.payload, account)
        fetched = account.fetch(*plan_fetches(envelope), at=moment(NOW + 3.9))

        (fact,) = read_event(envelope, fetched).facts

        assert fact.event_id == EventId(f"obs_sub_1_{NOW + 3}")
        assert fact.event_type == OBSERVED
        assert fact.created_at == moment(NOW + 3)
        assert (fact.happened_at, fact.before, fact.observed) == (None, None, True)

    @pytest.mark.parametrize(
        "event_type",
        [
            "customer.subscription.created",
            "customer.subscription.paused",
            "customer.subscription.deleted",
        ],
    )
    def test_is_ordered_by_its_fetch_and_not_by_its_type(self, event_type: str) -> None:
        account = account_of([self.payload])
        envelope = thin_of(self.payload | {"type": event_type}, account)

        (fact,) = read_event(envelope, account.fetch(*plan_fetches(envelope), at=moment(NOW))).facts

        assert fact.rank is Rank.UPDATED

    def test_shares_the_facts_of_an_observation_with_others_of_its_second(self) -> None:
        account = account_of([self.payload])
        one, other = (
            thin_of(self.payload | {"id": name, "type": f"customer.subscription.{name}"}, account)
            for name in ("updated", "resumed")
        )
        fetched = account.fetch(*plan_fetches(one), at=moment(NOW + 3))

        assert read_event(one, fetched).facts == read_event(other, fetched).facts

    def test_of_an_object_that_no_longer_exists_states_nothing_and_says_so(self) -> None:
        envelope = thin_of(self.payload, FakeStripeAccount())
        fetched = FakeStripeAccount().fetch(*plan_fetches(envelope), at=moment(NOW))

        assert read_event(envelope, fetched).ignored is IgnoredReason.OBJECT_GONE

    def test_of_an_ended_subscription_that_no_longer_exists_ends_it(self) -> None:
        payload = self.payload | {"type": "customer.subscription.deleted"}
        account = account_of([self.payload])
        reader = FetchingReader(account, CATALOGUE)
        reader.snapshot(parse(encoded(self.payload)), moment(NOW))
        assert only_grant(reader.projection).active

        reader.account = FakeStripeAccount()
        reader.thin(thin_of(payload | {"id": "evt_2"}, account), moment(NOW + 5))

        assert not only_grant(reader.projection).active
        assert only_grant(reader.projection).event_id == "evt_2thin"

    def test_about_an_unrelated_object_is_of_an_unknown_type(self) -> None:
        envelope = parse(encoded(FakeStripeAccount().thin_event(product())))

        assert read_event(envelope, ()).ignored is IgnoredReason.UNKNOWN_TYPE

    @pytest.mark.parametrize(
        "answered", [{"id": "sub_2", "object": "subscription"}, {"id": "sub_1", "object": "plan"}]
    )
    def test_does_not_accept_another_object(self, answered: dict[str, Any]) -> None:
        envelope = thin_of(self.payload, FakeStripeAccount())
        body = encoded(answered).decode()
        response = read_response("/v1/subscriptions/sub_1", 200, moment(NOW), body)

        asked = FetchRecord(targets=plan_fetches(envelope)).with_response(response)
        fetched = observations_in(asked)

        assert read_event(envelope, fetched).ignored is IgnoredReason.NOTHING_STATED

    def test_that_dates_a_failure_starts_grace_there(self) -> None:
        """Give the plan's full grace, however late the object was fetched."""
        failed = changed(2, invoice_json("open"), NOW - 2 * DAY) | {
            "type": "invoice.payment_failed"
        }
        past_due = changed(1, living("past_due"), NOW - DAY)
        account = account_of([past_due, failed])
        reader = FetchingReader(account, CATALOGUE)

        reader.snapshot(parse(encoded(changed(3, living("active"), NOW - 5 * DAY))), START)
        reader.thin(thin_of(past_due, account), START)
        reader.thin(thin_of(failed, account), START)

        began = moment(NOW - 2 * DAY + 0.25)
        assert only_grant(reader.projection).expires_at == began + timedelta(days=7)

    @pytest.mark.parametrize("event_type", sorted(STATED_BY_TYPE))
    def test_states_what_only_its_type_says_once_with_its_own_time(self, event_type: str) -> None:
        family = event_type.rpartition(".")[0]
        payload = changed(1, {"id": "x_1", "object": family}, NOW) | {"type": event_type}
        account = account_of([payload])
        envelope = thin_of(payload, account)
        target = plan_fetches(envelope)
        first, second = (account.fetch(*target, at=moment(NOW + n)) for n in (3, 5))

        facts = read_event(envelope, (*first, *second)).facts

        assert [(fact.event_id, fact.created_at) for fact in facts] == [
            (f"obs_x_1_{NOW + 3}", moment(NOW + 3)),
            (f"obs_x_1_{NOW + 5}", moment(NOW + 5)),
            ("evt_1thin", moment(NOW + 3)),
        ]
        own = facts[2]
        assert (own.event_type, own.happened_at) == (event_type, envelope.created_at)

    def test_states_nothing_by_its_type_about_another_object(self) -> None:
        payload = changed(1, charge(refunded=0), NOW) | {"type": "charge.captured"}
        account = account_of([payload])
        envelope = thin_of(payload, account)
        (shown,) = account.fetch(*plan_fetches(envelope), at=moment(NOW))

        for other in (replace(shown, object_id="ch_2"), replace(shown, family="product")):
            reading = read_event(envelope, (other,))
            assert reading.ignored is IgnoredReason.NOTHING_STATED

    def test_of_a_failed_refund_is_not_subtracted_twice(self) -> None:
        """Fetch the charge after the failure: its total no longer includes the refund."""
        charged = changed(1, charge(refunded=0), NOW - 9)
        failed = changed(2, refund("failed"), NOW - 60) | {"type": "refund.failed"}
        other = changed(3, refund("succeeded", "re_2"), NOW - 50) | {"type": "refund.created"}
        charged["data"]["object"]["amount_refunded"] = 500
        account = account_of([charged, failed, other])
        reader = FetchingReader(account, CATALOGUE)

        reader.thin(thin_of(charged | {"type": "charge.updated"}, account), at(-5))
        reader.thin(thin_of(failed, account), at(-3))

        assert amounts(reader.projection) == {"pi_1": (2999, 500)}


def product() -> dict[str, Any]:
    return changed(1, {"id": "prod_1", "object": "product"}, NOW) | {"type": "product.updated"}


def invoice_json(status: str) -> dict[str, Any]:
    return printed(
        Invoice(
            id="in_1",
            customer="cus_1",
            created=NOW - 3 * DAY,
            status=status,
            lines=(),
            reason="subscription_cycle",
            subscription="sub_1",
        )
    )


def charge(*, refunded: int) -> dict[str, Any]:
    return printed(
        Charge(
            id="ch_1",
            customer="cus_1",
            created=NOW - 3 * DAY,
            status="succeeded",
            amount=2999,
            amount_captured=2999,
            intent="pi_1",
        ),
        amount_refunded=refunded,
    )


def refund(status: str, stripe_id: str = "re_1") -> dict[str, Any]:
    return printed(
        Refund(
            id=stripe_id,
            charge="ch_1",
            intent="pi_1",
            created=NOW - 60,
            amount=500,
            status=status,
        )
    )


class TestSnapshotReading:
    def test_keeps_its_own_state_beside_the_later_observation(self) -> None:
        payload = changed(1, living("incomplete"), NOW) | {"type": "customer.subscription.created"}
        account = account_of([payload, changed(2, living("active"), NOW + 5)])
        target = FetchTarget(family="subscription", stripe_id="sub_1", later_than=moment(NOW))

        facts = stored(read_event(parse(encoded(payload)), account.fetch(target, at=at(9))).facts)

        own, observed = order_facts(facts).facts
        assert [own, observed] == facts
        assert (own.event_id, own.rank, own.created_at) == ("evt_1", Rank.CREATED, moment(NOW))
        assert (observed.event_id, observed.rank) == (f"obs_sub_1_{NOW + 9}", Rank.UPDATED)
        assert observed.created_at == at(9)
        assert own.fields != observed.fields

    def test_learns_of_objects_that_only_the_api_embeds(self) -> None:
        payload = changed(1, invoice_json("paid"), NOW) | {"type": "invoice.paid"}
        account = account_of([payload])
        account.put(
            InvoicePayment(id="inpay_1", invoice="in_1", intent="pi_1", amount=5, created=NOW)
        )
        target = FetchTarget(family="invoice", stripe_id="in_1")

        facts = read_event(parse(encoded(payload)), account.fetch(target, at=at(9))).facts

        assert [fact.kind for fact in facts] == [Kind.INVOICE, Kind.INVOICE, Kind.INVOICE_PAYMENT]
        assert [fact.observed for fact in facts] == [False, True, True]
        assert facts[2].created_at == at(9)

    def test_of_a_failure_does_not_fail_again_when_it_is_fetched(self) -> None:
        payload = changed(1, invoice_json("open"), NOW) | {"type": "invoice.payment_failed"}
        target = FetchTarget(family="invoice", stripe_id="in_1")

        facts = read_event(
            parse(encoded(payload)), account_of([payload]).fetch(target, at=at(9))
        ).facts

        own, observed = (fact.fields for fact in facts)
        assert isinstance(own, InvoiceFields)
        assert isinstance(observed, InvoiceFields)
        assert (own.payment_failed, observed.payment_failed) == (True, False)

    def test_of_one_second_with_another_is_decided_by_a_fetch(self) -> None:
        one, other = (
            changed(n, living(status), NOW) for n, status in ((1, "active"), (2, "unpaid"))
        )
        account = account_of([other, one])
        reader = FetchingReader(account, CATALOGUE)

        reader.snapshot(parse(encoded(one)), START)
        assert reader.fetches == 0
        reader.snapshot(parse(encoded(other)), START)

        assert reader.fetches == 1
        assert not reader.projection.undecided
        assert only_grant(reader.projection).active
        assert not only_grant(reader.projection).guessed

    def test_of_a_paid_checkout_finds_its_plan_by_line_items(self) -> None:
        payload = changed(1, session(), NOW) | {"type": "checkout.session.completed"}
        account = account_of([payload])
        account.sell("cs_1", replace(PREMIUM, interval=None))
        reader = FetchingReader(account, CATALOGUE)

        reader.snapshot(parse(encoded(payload)), START)

        row = only_grant(reader.projection)
        assert (row.active, row.plan_code, row.starts_at) == (True, "premium", moment(NOW))
        assert reader.fetches == 1

    @pytest.mark.parametrize(
        "given",
        [
            {"payment_status": "unpaid"},
            {"metadata": {"plan_code": "premium"}},
            {"mode": "subscription", "subscription": "sub_1", "payment_status": "unpaid"},
            {"line_items": {"data": [{"id": "li_1", "price": {"id": "price_nobody_sells"}}]}},
        ],
    )
    def test_of_a_checkout_that_needs_no_line_items_fetches_none(
        self, given: dict[str, Any]
    ) -> None:
        payload = changed(1, session() | given, NOW) | {"type": "checkout.session.completed"}
        reader = FetchingReader(account_of([payload]), CATALOGUE)

        reader.snapshot(parse(encoded(payload)), START)

        assert reader.fetches == 0

    def test_of_a_subscription_checkout_finds_what_it_sold_once_until_its_invoice_is_known(
        self,
    ) -> None:
        begun = {"mode": "subscription", "subscription": "sub_1", "invoice": "in_1"}
        payload = changed(1, session() | begun, NOW) | {"type": "checkout.session.completed"}
        account = account_of([payload])
        account.line_items["cs_1"] = [{"id": "li_1", "price": {"id": "price_premium"}}]
        reader = FetchingReader(account, CATALOGUE)

        reader.snapshot(parse(encoded(payload)), START)

        assert [row.plan_code for row in reader.projection.purchases.values()] == ["premium"]
        assert reader.fetches == 1

    def test_of_a_checkout_with_unhelpful_line_items_is_fetched_once(self) -> None:
        payload = changed(1, session(), NOW) | {"type": "checkout.session.completed"}
        reader = FetchingReader(account_of([payload]), CATALOGUE)

        reader.snapshot(parse(encoded(payload)), START)

        assert reader.fetches == 1
        assert not reader.projection.without_line_items

    def test_of_a_cut_list_grants_at_once_and_then_the_rest(self) -> None:
        keys = [f"feature_{number}" for number in range(23)]
        listed = printed(FeatureList(customer="cus_1", keys=tuple(keys)))
        payload = changed(1, listed, NOW)
        payload["type"] = "entitlements.active_entitlement_summary.updated"
        account = FakeStripeAccount(page_size=9, features={"cus_1": [(moment(0), keys)]})
        customer = printed(Customer(id="cus_1", created=NOW, metadata={"user_id": "usr_1"}))
        account.put(customer)
        reader = FetchingReader(account, CATALOGUE)
        reader.snapshot(event("customer.created", customer), START)

        reader.snapshot(parse(encoded(payload | {"id": "evt_2"})), START)

        row = only_grant(reader.projection)
        assert row.entitlements == dict.fromkeys(keys, True)
        assert (row.active, row.starts_at) == (True, moment(NOW))
        assert not reader.projection.incomplete_summaries


def session() -> dict[str, Any]:
    return printed(
        Session(
            id="cs_1",
            created=NOW - 60,
            mode="payment",
            status="complete",
            payment_status="paid",
            amount=2999,
            reference="usr_1",
            intent="pi_1",
        )
    )


def test_a_thin_type_maps_to_that_of_its_snapshot() -> None:
    assert snapshot_type("v1.invoice.paid") == snapshot_type("invoice.paid") == "invoice.paid"


def test_a_response_of_a_second_that_is_not_over_is_requested_again() -> None:
    target = FetchTarget(family="subscription", stripe_id="sub_1", later_than=at(5))

    assert too_early(FakeStripeAccount().ask(target, at=at(5.9)))
    assert not too_early(FakeStripeAccount().ask(target, at=at(6)))
