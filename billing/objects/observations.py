"""Reading a history: what was said last, by whom it was said to be, and since when."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Generic, NamedTuple, TypeVar

from billing.facts import (
    Fields,
)
from billing.ids import CustomerId, EventId, UserId
from billing.objects.ordering import History

F = TypeVar("F", bound=Fields)
V = TypeVar("V")


class Observation(NamedTuple, Generic[F]):
    """One fact of an object whose kind is known, with what deciding needs of it."""

    at: datetime
    event_id: EventId
    event_type: str
    fields: F
    before: F | None
    happened_at: datetime | None = None

    @property
    def since(self) -> datetime:
        """When what the fact tells of happened, as far as that is known better than ``at``."""
        return self.happened_at or self.at


class Moment(NamedTuple):
    """When something was said, and by which event."""

    at: datetime
    event_id: EventId


class Received(NamedTuple):
    """Money that came in, and when that was first seen."""

    amount: int
    currency: str
    at: datetime


class Granting(NamedTuple):
    """Since when something is paid for, and the newest fact that says so."""

    since: datetime
    newest: Moment


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """Whose something is, and when that was first said."""

    user_id: UserId
    made_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """The newest statement about the user, and every user that was ever named."""

    newest: Statement | None
    ever: frozenset[UserId]


NOBODY = Said(newest=None, ever=frozenset())


def seen(history: History, shape: type[F]) -> list[Observation[F]]:
    """The facts of a history in their order, without any that are of another shape."""
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


def state_of(history: History, facts: Iterable[Observation[F]]) -> Observation[F]:
    """The fact that is the object's state, which need not be the last one."""
    newest = history.newest
    return next(
        fact for fact in facts if fact.event_id == newest.event_id and fact.at == newest.created_at
    )


def latest(values: Iterable[V | None]) -> V | None:
    """The last value that was said at all: silence takes nothing back."""
    found = None
    for value in values:
        if value is not None:
            found = value
    return found


def first(values: Iterable[V | None]) -> V | None:
    """The first value that is there at all, of several that are believed in this order."""
    for value in values:
        if value is not None:
            return value
    return None


def granting(facts: Sequence[Observation[F]], since: datetime | None = None) -> Granting | None:
    """What facts that all say so grant: since the first of them, unless it is known better."""
    if not facts:
        return None
    return Granting(since or facts[0].at, Moment(facts[-1].at, facts[-1].event_id))


def customer_of(history: History) -> CustomerId | None:
    """The customer that the newest fact naming one names."""
    return latest(fact.customer_id for fact in history.facts)


def said(pairs: Iterable[tuple[datetime, str | None]]) -> Said:
    """The newest user named, dated where the unbroken run of naming him begins."""
    newest: Statement | None = None
    ever: set[UserId] = set()
    for at, named in pairs:
        if named is None:
            continue
        ever.add(UserId(named))
        if newest is None or newest.user_id != named:
            newest = Statement(user_id=UserId(named), made_at=at)
    return Said(newest=newest, ever=frozenset(ever)) if ever else NOBODY


def newest_of(moments: Iterable[Moment]) -> Moment:
    """The newest of moments of several objects; in one second the one with the lower event id."""
    return max(sorted(moments, key=lambda moment: moment.event_id), key=lambda moment: moment.at)


def users_ever(*statements: Said) -> frozenset[UserId]:
    """Everybody whom any of the statements has ever named."""
    return frozenset[UserId]().union(*(stated.ever for stated in statements))
