"""Subscriptions."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from billing.facts import (
    Item,
    SubscriptionFields,
)
from billing.ids import CustomerId, ObjectKey
from billing.objects.observations import (
    Observation,
    Said,
    customer_of,
    said,
    seen,
    state_of,
)
from billing.objects.ordering import History
from billing.statuses import (
    PAST_DUE,
    SUBSCRIPTION_ENDED,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Subscription:
    """A subscription's state, what it ever ran on, and since when it has been past due."""

    customer_id: CustomerId | None
    said: Said
    state: Observation[SubscriptionFields]
    ended: bool
    prices: tuple[str, ...]
    """What its state runs on, for rows that people read."""
    period_end: datetime | None
    ran_on: tuple[tuple[datetime, tuple[Item, ...]], ...]
    """Each different set of items, dated where it was first seen, in the order of the last."""
    past_due_since: datetime | None
    in_order_until: datetime | None
    """The last snapshot in a status other than past due."""
    guessed: bool


def read_subscription(_: ObjectKey, history: History) -> Subscription:
    """The state of a subscription is its newest snapshot, or the one it ended with."""
    facts = seen(history, SubscriptionFields)
    state = state_of(history, facts)
    orderly = [fact.at for fact in facts if fact.fields.status != PAST_DUE]
    return Subscription(
        customer_id=customer_of(history),
        said=said((fact.at, fact.fields.user_id) for fact in facts),
        state=state,
        ended=state.fields.status in SUBSCRIPTION_ENDED,
        prices=tuple(item.price for item in state.fields.items if item.price),
        period_end=latest_period(state.fields.items),
        ran_on=_ran_on(facts),
        past_due_since=_past_due_since(facts),
        in_order_until=max(orderly, default=None),
        guessed=history.guessed,
    )


def latest_period(items: Iterable[Item]) -> datetime | None:
    """When the last of the periods that the items are paid for ends."""
    return max((item.period_end for item in items if item.period_end), default=None)


def _ran_on(
    facts: Sequence[Observation[SubscriptionFields]],
) -> tuple[tuple[datetime, tuple[Item, ...]], ...]:
    since: dict[tuple[Item, ...], datetime] = {}
    for fact in facts:
        timeless = tuple(_timeless(item) for item in fact.fields.items)
        since[timeless] = since.pop(timeless, fact.at)
    return tuple((at, items) for items, at in since.items())


def _timeless(item: Item) -> Item:
    return Item(
        price=item.price,
        lookup_key=item.lookup_key,
        product=item.product,
        quantity=item.quantity,
        period_end=None,
    )


def _past_due_since(facts: Sequence[Observation[SubscriptionFields]]) -> datetime | None:
    since = None
    for fact in reversed(facts):
        if fact.fields.status != PAST_DUE:
            break
        since = fact.at
    return since
