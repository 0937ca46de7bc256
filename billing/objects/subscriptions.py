"""The state of a subscription, with the items of its past."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import NamedTuple

from billing.facts import OBSERVED, CollectionPause, Item, SubscriptionFields, metadata_value
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
    SUBSCRIPTION_GRANTS,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SoldItem:
    """An item of a subscription with every name under which it was sold.

    ``names`` are its price id, its lookup key, the keys that earlier observations of the
    subscription show on the same price (the newest first), and its product. A key that was
    transferred to another price stands on its new price only, so the old subscribers would lose
    what they pay for: https://docs.stripe.com/api/prices/create (``transfer_lookup_key``).
    """

    id: str | None
    names: tuple[str | None, ...]
    quantity: int
    period_start: datetime | None = None
    period_end: datetime | None = None

    @property
    def price(self) -> str | None:
        """The price id."""
        return self.names[0]


class ItemRun(NamedTuple):
    """Successive observations that show the same items; ``at`` is the time of the first.

    The items have no periods. ``plan_code`` is ``metadata.plan_code``.
    """

    at: datetime
    items: tuple[SoldItem, ...]
    plan_code: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SubscriptionState:
    """A subscription's state, its past items, and the time since which it is past due."""

    customer_id: CustomerId | None
    user_statements: UserStatements
    newest: Observation[SubscriptionFields]
    ended: bool
    items: tuple[SoldItem, ...]
    """The items of its state."""
    items_complete: bool
    """False if items may have gone that a list cut off by Stripe does not show."""
    item_runs: tuple[ItemRun, ...]
    """The items of every observation, the oldest first."""
    present_run: int
    """The place of the state's items among ``item_runs``."""
    paid_run: int | None
    """The same of the newest observation in a status that gives full access; None without one."""
    past_due_since: datetime | None
    first_seen_past_due: bool
    """True if it was past due before anything showed it: its first snapshot shows no change."""
    first_period_start: datetime | None
    """The beginning of the period that ran when it was first seen."""
    last_not_past_due_at: datetime | None
    """The time of the last snapshot in a status other than past due."""
    guessed: bool
    clocked: bool
    """True if it lives in the time of a test clock."""
    latest_moment: datetime
    """The newest time that it states."""
    invoices: tuple[str, ...] = ()
    """Every invoice that it ever named as its latest."""

    @property
    def prices(self) -> tuple[str, ...]:
        """The prices of its items, for rows."""
        return tuple(item.price for item in self.items if item.price)

    @property
    def period_end(self) -> datetime | None:
        """The end of the last period that its items are paid for."""
        return latest_period(self.items)

    @property
    def pause(self) -> CollectionPause | None:
        """The pause of collection, which is no status."""
        return self.newest.fields.pause


def fold_subscription(_: ObjectKey, history: ObjectHistory) -> SubscriptionState:
    """Return the state of a subscription: its newest snapshot, or the one it ended with."""
    facts = observations(history, SubscriptionFields)
    state = state_of(history, facts)
    lists = _item_lists(facts)
    runs, places = _item_runs(facts, lists)
    place = facts.index(state)
    paid = [n for n, fact in enumerate(facts) if fact.fields.status in SUBSCRIPTION_GRANTS]
    not_past_due = [fact.at for fact in facts if fact.fields.status != PAST_DUE]
    past_due_since = _past_due_since(facts)
    return SubscriptionState(
        customer_id=customer_of(history),
        user_statements=fold_user_statements(
            facts, last_value(fact.fields.own_created_at for fact in facts)
        ),
        newest=state,
        ended=state.fields.status in SUBSCRIPTION_ENDED,
        items=lists[place].sold(),
        items_complete=lists[place].complete,
        item_runs=runs,
        present_run=places[place],
        paid_run=places[paid[-1]] if paid else None,
        past_due_since=past_due_since.at if past_due_since else None,
        first_seen_past_due=past_due_since is facts[0] and _was_past_due(facts[0]),
        first_period_start=min(_period_starts(facts[0]), default=None),
        last_not_past_due_at=max(not_past_due, default=None),
        guessed=history.guessed,
        clocked=any(fact.fields.test_clock for fact in facts),
        latest_moment=max((at for fact in facts for at in _moments(fact)), default=state.at),
        invoices=tuple(dict.fromkeys(i for fact in facts if (i := fact.fields.latest_invoice))),
    )


def _moments(fact: Observation[SubscriptionFields]) -> Iterator[datetime]:
    """Yield the times that a fact states; the API dates its answers by the real clock."""
    if fact.event_type:
        yield fact.at
    yield from _period_starts(fact)
    if fact.fields.ended_at:
        yield fact.fields.ended_at


def _period_starts(fact: Observation[SubscriptionFields]) -> list[datetime]:
    return [item.period_start for item in fact.fields.items if item.period_start]


def latest_period(items: Iterable[SoldItem]) -> datetime | None:
    """Return the end of the last period that the items are paid for."""
    return max((item.period_end for item in items if item.period_end), default=None)


class _ItemList(NamedTuple):
    """The items of an observation, and the same as sold, without their periods."""

    items: tuple[Item, ...]
    timeless: tuple[SoldItem, ...]
    complete: bool

    def sold(self) -> tuple[SoldItem, ...]:
        """Return the items as sold, with their periods."""
        return tuple(
            replace(sold, period_start=item.period_start, period_end=item.period_end)
            for item, sold in zip(self.items, self.timeless, strict=True)
        )


def _item_lists(facts: Sequence[Observation[SubscriptionFields]]) -> list[_ItemList]:
    """Return the items as of each observation.

    Stripe cuts the list of items off (``has_more``). A cut list adds and changes items, and removes
    none: https://docs.stripe.com/api/pagination.
    """
    keys: dict[str, tuple[str, ...]] = {}
    known: tuple[Item, ...] = ()
    lists = []
    for fact in facts:
        complete = fact.fields.items_complete
        known = fact.fields.items if complete else _laid_over(known, fact.fields.items)
        _note_keys(keys, known)
        timeless = tuple(_sold_item(item, keys) for item in known)
        lists.append(_ItemList(known, timeless, complete))
    return lists


def _laid_over(known: Iterable[Item], cut: Iterable[Item]) -> tuple[Item, ...]:
    shown = {item.id: item for item in cut}
    changed = tuple(shown.pop(item.id, item) for item in known)
    return (*changed, *shown.values())


def _note_keys(keys: dict[str, tuple[str, ...]], items: Iterable[Item]) -> None:
    """Put the lookup key of each price before the keys that it had earlier."""
    for item in items:
        if item.price and item.lookup_key:
            had = keys.get(item.price, ())
            keys[item.price] = tuple(dict.fromkeys((item.lookup_key, *had)))


def _sold_item(item: Item, keys: dict[str, tuple[str, ...]]) -> SoldItem:
    own = item.lookup_key or None
    had = (key for key in keys.get(item.price or "", ()) if key != own)
    return SoldItem(
        id=item.id,
        names=(item.price, own, *had, item.product),
        quantity=item.quantity,
    )


def _item_runs(
    facts: Sequence[Observation[SubscriptionFields]], lists: Sequence[_ItemList]
) -> tuple[tuple[ItemRun, ...], list[int]]:
    """Return the runs, and the place of each observation's run."""
    runs: list[ItemRun] = []
    places = []
    for fact, listed in zip(facts, lists, strict=True):
        code = metadata_value(fact.fields.metadata, "plan_code")
        run = ItemRun(fact.at, listed.timeless, code)
        if not runs or runs[-1][1:] != run[1:]:
            runs.append(run)
        places.append(len(runs) - 1)
    return tuple(runs), places


def _past_due_since(
    facts: Sequence[Observation[SubscriptionFields]],
) -> Observation[SubscriptionFields] | None:
    """Return the first observation of the run of those that are past due."""
    since = None
    for fact in reversed(facts):
        if fact.fields.status != PAST_DUE:
            break
        since = fact
    return since


def _was_past_due(first: Observation[SubscriptionFields]) -> bool:
    """Return True if a snapshot that is past due shows no change to it.

    Stripe's API shows no change. Nor does an event of another one, as of the way to pay.
    """
    shown_before = first.before and first.before.status == PAST_DUE
    return first.event_type == OBSERVED or bool(shown_before)
