"""Observations of one object: the newest value, the time of payment."""

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Generic, NamedTuple, TypeVar

from billing.facts import (
    Fields,
)
from billing.ids import CustomerId, EventId
from billing.objects.ordering import ObjectHistory

F = TypeVar("F", bound=Fields)
V = TypeVar("V")


class Observation(NamedTuple, Generic[F]):
    """One fact of an object of a known kind, with what the folds need."""

    at: datetime
    event_id: EventId
    event_type: str
    fields: F
    before: F | None
    happened_at: datetime | None = None

    @property
    def since(self) -> datetime:
        """The time of what happened, if it is known more precisely than ``at``."""
        return self.happened_at or self.at


class EventMoment(NamedTuple):
    """The time of an observation and the event that made it."""

    at: datetime
    event_id: EventId


class ReceivedMoney(NamedTuple):
    """Money that was received, and the time of its first observation."""

    amount: int
    currency: str
    at: datetime


class GrantBasis(NamedTuple):
    """The time since which something is paid for, and the newest fact that says so."""

    since: datetime
    newest: EventMoment


def observations(history: ObjectHistory, shape: type[F]) -> list[Observation[F]]:
    """Return the facts of a history in order, leaving out those of another shape."""
    return [
        Observation(
            fact.created_at,
            fact.event_id,
            fact.event_type,
            fact.fields,
            fact.before if isinstance(fact.before, shape) else None,
            fact.happened_at,
        )
        for fact in history.facts
        if isinstance(fact.fields, shape)
    ]


def state_of(history: ObjectHistory, facts: Iterable[Observation[F]]) -> Observation[F]:
    """Return the observation that is the object's state; it need not be the last one."""
    newest = history.newest
    return next(
        fact for fact in facts if fact.event_id == newest.event_id and fact.at == newest.created_at
    )


def first_moment(
    facts: Iterable[Observation[F]], made_at: Callable[[F], datetime | None]
) -> datetime:
    """Return the second of what these facts show: that of the first event that states it.

    An object that the API shows later does not state it. Then it is the second in which the object
    was made, which ``made_at`` returns.
    """
    by_event, by_api = [], []
    for fact in facts:
        if fact.event_type:
            by_event.append(fact.since)
        else:
            by_api.append(made_at(fact.fields) or fact.at)
    return min(by_event or by_api)


def last_value(values: Iterable[V | None]) -> V | None:
    """Return the last value that is not None: a missing value takes nothing back."""
    found = None
    for value in values:
        if value is not None:
            found = value
    return found


def first_value(values: Iterable[V | None]) -> V | None:
    """Return the first value that is not None; the caller orders the values by trust."""
    for value in values:
        if value is not None:
            return value
    return None


def grant_basis_of(
    facts: Sequence[Observation[F]], since: datetime | None = None
) -> GrantBasis | None:
    """Return the basis of a grant from the facts that state it; None if there is none.

    The grant starts with the first of them, unless ``since`` is known more precisely.
    """
    if not facts:
        return None
    return GrantBasis(since or facts[0].at, EventMoment(facts[-1].at, facts[-1].event_id))


def customer_of(history: ObjectHistory) -> CustomerId | None:
    """Return the customer of the newest fact that names one."""
    return last_value(fact.customer_id for fact in history.facts)


def newest_of(moments: Iterable[EventMoment]) -> EventMoment:
    """Return the newest moment of several objects; within a second, that of the lower event id."""
    return max(sorted(moments), key=lambda moment: moment.at)
