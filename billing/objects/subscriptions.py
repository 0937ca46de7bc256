"""The state of a subscription."""

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
    customer_of,
    last_value,
    observations,
    state_of,
)
from billing.objects.ordering import ObjectHistory
from billing.objects.user_statements import UserStatements, fold_user_statements
from billing.statuses import (
    PAST_DUE,
    SUBSCRIPTION_ENDED,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SubscriptionState:
    """A subscription's state, its past items, and the time since which it is past due."""

    customer_id: CustomerId | None
    user_statements: UserStatements
    newest: Observation[SubscriptionFields]
    ended: bool
    prices: tuple[str, ...]
    """The prices of its state, for rows."""
    period_end: datetime | None
    item_history: tuple[tuple[datetime, tuple[Item, ...]], ...]
    """Each different set of items with its first time, in the order of the last times."""
    past_due_since: datetime | None
    last_not_past_due_at: datetime | None
    """The time of the last snapshot in a status other than past due."""
    guessed: bool


def fold_subscription(_: ObjectKey, history: ObjectHistory) -> SubscriptionState:
    """Return the state of a subscription: its newest snapshot, or the one it ended with."""
    facts = observations(history, SubscriptionFields)
    state = state_of(history, facts)
    not_past_due = [fact.at for fact in facts if fact.fields.status != PAST_DUE]
    return SubscriptionState(
        customer_id=customer_of(history),
        user_statements=fold_user_statements(
            facts, last_value(fact.fields.own_created_at for fact in facts)
        ),
        newest=state,
        ended=state.fields.status in SUBSCRIPTION_ENDED,
        prices=tuple(item.price for item in state.fields.items if item.price),
        period_end=latest_period(state.fields.items),
        item_history=_item_history(facts),
        past_due_since=_past_due_since(facts),
        last_not_past_due_at=max(not_past_due, default=None),
        guessed=history.guessed,
    )


def latest_period(items: Iterable[Item]) -> datetime | None:
    """Return the end of the last period that the items are paid for."""
    return max((item.period_end for item in items if item.period_end), default=None)


def _item_history(
    facts: Sequence[Observation[SubscriptionFields]],
) -> tuple[tuple[datetime, tuple[Item, ...]], ...]:
    since: dict[tuple[Item, ...], datetime] = {}
    for fact in facts:
        timeless = tuple(_without_period(item) for item in fact.fields.items)
        since[timeless] = since.pop(timeless, fact.at)
    return tuple((at, items) for items, at in since.items())


def _without_period(item: Item) -> Item:
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
