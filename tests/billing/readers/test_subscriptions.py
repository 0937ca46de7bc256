"""A subscription reads the same in every API version."""

from datetime import UTC, datetime
from typing import Any

import pytest

from billing.facts import CollectionPause, Item, Kind, Rank, SubscriptionFields
from ops.samples.api_shapes import Shape
from ops.samples.worlds.offers import StripePrice
from ops.samples.worlds.records import Subscription, SubscriptionItem
from tests.billing.event_builders import printed
from tests.billing.readers.read_events import ids, only_fact

END = 1_797_721_711
ENDS = datetime.fromtimestamp(END, UTC)
STARTED = datetime.fromtimestamp(1_000, UTC)
PRICE = {"id": "price_1", "lookup_key": "gold", "product": "prod_1"}

OFFER = StripePrice(price="price_1", lookup_key="gold", product="prod_1", amount=1000)
ITEM = SubscriptionItem(id="si_1", offer=OFFER, quantity=2, start=1_000, end=END)
SUBSCRIPTION = Subscription(
    id="sub_1",
    customer="cus_1",
    created=1_000,
    status="active",
    items=(ITEM,),
    metadata={"user_id": "usr_1"},
    latest_invoice="in_1",
    test_clock="clock_1",
)
NEW = printed(SUBSCRIPTION)
BEFORE_BASIL = printed(SUBSCRIPTION, Shape.OLD)
BEFORE_PRICES = printed(SUBSCRIPTION, Shape.ANCIENT)


def fields(event_type: str, stated: dict[str, Any]) -> SubscriptionFields:
    read = only_fact(event_type, stated).fields
    assert isinstance(read, SubscriptionFields)
    return read


@pytest.mark.parametrize(
    ("stated", "lookup_key", "item", "created_at"),
    [
        (NEW, "gold", "si_1", STARTED),
        (BEFORE_BASIL, "gold", "si_1", STARTED),
        (BEFORE_PRICES, None, None, None),
    ],
    ids=list(Shape)[::-1],
)
def test_every_shape_of_a_subscription_says_the_same_up_to_what_it_has_not(
    stated: dict[str, Any], lookup_key: str | None, item: str | None, created_at: datetime | None
) -> None:
    fact = only_fact("customer.subscription.created", stated)

    assert fact.kind is Kind.SUBSCRIPTION
    assert fact.customer_id == "cus_1"
    assert ids(fact) == {"sub_1", "cus_1", "in_1"}
    assert fact.fields == SubscriptionFields(
        status="active",
        items=(
            Item(
                price="price_1",
                lookup_key=lookup_key,
                product="prod_1",
                quantity=2,
                id=item,
                period_start=STARTED,
                period_end=ENDS,
            ),
        ),
        cancel_at=None,
        cancel_at_period_end=False,
        started_at=STARTED,
        ended_at=None,
        trial_end=None,
        metadata=(("user_id", "usr_1"),),
        test_clock="clock_1",
        latest_invoice="in_1",
        own_created_at=created_at,
    )


def test_items_have_ids_and_a_list_that_was_cut_off_says_so() -> None:
    row = {"id": "si_1", "price": PRICE, "current_period_start": 1_000}
    listed = {"data": [row], "has_more": True, "total_count": 11}

    read = fields("customer.subscription.updated", {**NEW, "items": listed})

    assert not read.items_complete
    assert [(item.id, item.period_start) for item in read.items] == [("si_1", STARTED)]


def test_a_list_with_fewer_items_than_its_count_was_cut_off() -> None:
    listed = {"data": [{"id": "si_1", "price": PRICE}], "total_count": 2}

    assert not fields("customer.subscription.updated", {**NEW, "items": listed}).items_complete


@pytest.mark.parametrize(("resumes_at", "read"), [(END, ENDS), (None, None)])
def test_a_pause_of_collection_is_read(resumes_at: int | None, read: datetime | None) -> None:
    paused = {**NEW, "pause_collection": {"behavior": "void", "resumes_at": resumes_at}}

    assert fields("customer.subscription.updated", paused).pause == CollectionPause(
        behavior="void", resumes_at=read
    )


def test_items_keep_their_own_periods() -> None:
    rows = [{"price": "a", "current_period_end": 1_000}, {"price": "b"}]

    items = fields(
        "customer.subscription.updated", {**NEW, "items": rows, "current_period_end": END}
    ).items

    assert [item.period_end for item in items] == [STARTED, ENDS]


@pytest.mark.parametrize(("quantity", "held"), [(None, 1), (0, 0), (7, 7), (True, 1), (-1, 1)])
def test_an_item_without_a_quantity_is_held_once(quantity: object, held: int) -> None:
    stated = {**NEW, "items": {"data": [{"price": "a", "quantity": quantity}]}}

    assert [item.quantity for item in fields("customer.subscription.updated", stated).items] == [
        held
    ]


def test_a_subscription_to_nothing_has_no_items() -> None:
    assert fields("customer.subscription.updated", {"id": "sub_1"}).items == ()


@pytest.mark.parametrize(
    ("event_type", "status", "read"),
    [
        ("customer.subscription.updated", "past_due", "past_due"),
        ("customer.subscription.updated", "hibernating", "hibernating"),
        ("customer.subscription.updated", None, "unknown"),
        ("customer.subscription.deleted", "canceled", "canceled"),
        ("customer.subscription.deleted", "incomplete_expired", "incomplete_expired"),
        ("customer.subscription.deleted", "active", "canceled"),
    ],
)
def test_a_status_is_kept_unless_the_subscription_was_deleted(
    event_type: str, status: object, read: str
) -> None:
    assert fields(event_type, {**NEW, "status": status}).status == read


def test_times_of_a_subscription_are_read() -> None:
    stated = {
        "id": "sub_1",
        "created": 1_000,
        "cancel_at": END,
        "cancel_at_period_end": True,
        "ended_at": END,
        "trial_end": END,
    }

    read = fields("customer.subscription.updated", stated)

    assert (read.cancel_at, read.ended_at, read.trial_end) == (ENDS, ENDS, ENDS)
    assert read.cancel_at_period_end
    assert read.started_at == STARTED


@pytest.mark.parametrize(
    ("times", "started"),
    [
        ({"start_date": 1_000, "created": 2_000, "start": 3_000}, 1_000),
        ({"created": 2_000, "start": 3_000}, 2_000),
        ({"start": 3_000}, 3_000),
    ],
)
def test_a_subscription_started_at_its_start_date_else_when_it_was_made(
    times: dict[str, int], started: int
) -> None:
    read = fields("customer.subscription.updated", {"id": "sub_1", **times})

    assert read.started_at == datetime.fromtimestamp(started, UTC)


@pytest.mark.parametrize(
    ("event_type", "rank"),
    [
        ("customer.subscription.created", Rank.CREATED),
        ("customer.subscription.updated", Rank.UPDATED),
        ("customer.subscription.trial_will_end", Rank.UPDATED),
        ("customer.subscription.paused", Rank.PAUSED_OR_RESUMED),
        ("customer.subscription.resumed", Rank.PAUSED_OR_RESUMED),
        ("customer.subscription.deleted", Rank.DELETED),
    ],
)
def test_the_type_of_an_event_says_what_it_says_about_order(event_type: str, rank: Rank) -> None:
    assert only_fact(event_type, NEW).rank is rank


@pytest.mark.parametrize(
    "beside",
    [
        {"pending_update": {"expires_at": END, "subscription_items": [{"price": "price_9"}]}},
        {"billing_mode": {"type": "flexible"}, "schedule": "sub_sched_1"},
        {"status_details": {"paused": None}, "cancellation_details": {"reason": "brand_new"}},
    ],
)
def test_what_stands_beside_the_status_changes_nothing(beside: dict[str, Any]) -> None:
    updated = "customer.subscription.updated"

    assert fields(updated, NEW | beside) == fields(updated, NEW)


def test_the_state_before_an_upgrade_is_read_like_any_other() -> None:
    fact = only_fact(
        "customer.subscription.updated",
        NEW,
        previous={"items": {"data": [{"price": "price_0", "current_period_end": END}]}},
    )

    assert isinstance(fact.before, SubscriptionFields)
    assert [item.price for item in fact.before.items] == ["price_0"]
    assert fact.before.status == "active"


def test_what_was_before_a_deletion_was_not_deleted() -> None:
    fact = only_fact("customer.subscription.deleted", NEW, previous={"status": "past_due"})

    assert isinstance(fact.before, SubscriptionFields)
    assert fact.before.status == "past_due"
