"""Compare events that Stripe lists with those that are here: settled, waiting, dead or missing.

An event that is missing goes into the inbox as an operator's replay does, and is applied as a
delivery of Stripe would be. A dead letter or a discarded event is never put in, because a person
has decided about it, or has to.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final, assert_never

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from billing.envelope import Envelope, usable_id
from billing.json_fields import Raw, customer_in, enum_in, object_in, time_in
from billing.readers.registry import HANDLED_TYPES
from models.tables import DeadLetter, StripeEvent
from ops.reconcile.differences import EVENT, DifferenceClass, DifferenceState, FoundDifference
from runtime.database.one_of import one_of
from runtime.event_body import parse
from runtime.inbox.inbox import Inbox
from runtime.json_text import write_json

YOUNG: Final = timedelta(minutes=10)
"""Stripe sends most events within seconds. A younger event that is not here may still arrive."""

_TWIN_WITHIN: Final = timedelta(seconds=2)
"""Between the times of a snapshot and a thin event of one change: one is in whole seconds."""


class KnownState(StrEnum):
    """The state of an event here."""

    SETTLED = "settled"
    TWIN_SETTLED = "twin settled"
    """The thin event of the same change is settled."""
    WAITING = "waiting"
    DEAD = "dead"
    DISCARDED = "discarded"
    UNKNOWN = "unknown"


class ListedState(StrEnum):
    """The meaning of a listed event for the comparison."""

    AGREES = "agrees"
    WAITING = "waiting"
    """It is in the inbox, or was discarded by a person: no difference."""
    DISCARDED = "discarded"
    MOVING = "moving"
    """It is so young that it may arrive by itself."""
    DEAD = "dead"
    MISSING = "missing"
    NOT_READ = "not read"
    """No reader of this release reads its type."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedEvent:
    """One event of the list of ``account``, which is None for our own."""

    event_id: str
    type: str
    created_at: datetime
    account: str | None
    raw: Raw = field(repr=False)

    @property
    def object_id(self) -> str | None:
        """The id of its object."""
        return usable_id(self._stated.get("id"))

    @property
    def customer_id(self) -> str | None:
        """The customer that its object names or is."""
        stated = self._stated
        return self.object_id if stated.get("object") == "customer" else customer_in(stated)

    def difference(self, state: DifferenceState, says: str) -> FoundDifference:
        """Return the difference that it makes by not being settled here."""
        return FoundDifference(
            name=self.event_id,
            family=EVENT,
            classed=DifferenceClass.MISSING_EVENT,
            state=state,
            says=says,
            stripe_customer_id=self.customer_id,
            theirs={
                "type": self.type,
                "created": self.created_at.isoformat(),
                "object": self.object_id,
            },
        )

    @property
    def _stated(self) -> Raw:
        return object_in(self.raw, "data", "object")

    def as_delivered(self) -> Envelope:
        """Return it as its webhook states it.

        The list leaves out ``account``, which the webhook of a connected account has.

        Raises:
            MalformedEvent: it is no event that can be stored.
        """
        stated = {"account": self.account} if self.account else {}
        return parse(write_json({**self.raw, **stated}).encode())


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparedEvent:
    """An event and what it means."""

    event: ListedEvent
    verdict: ListedState

    @property
    def is_open(self) -> bool:
        """True while the event may still have to be put in."""
        return self.verdict in {ListedState.MISSING, ListedState.MOVING, ListedState.WAITING}

    def difference(self) -> FoundDifference | None:
        """Return the difference to store, None if there is none."""
        match self.verdict:
            case ListedState.MISSING:
                return self.event.difference(DifferenceState.STANDS, "it never arrived here")
            case ListedState.MOVING:
                return self.event.difference(DifferenceState.MOVING, "it may still arrive")
            case ListedState.DEAD:
                says = f"it is a dead letter: `paidup dead show {self.event.event_id}`"
                return self.event.difference(DifferenceState.LEFT, says)
            case (
                ListedState.AGREES
                | ListedState.WAITING
                | ListedState.DISCARDED
                | ListedState.NOT_READ
            ):
                return None
            case _:
                assert_never(self.verdict)


def read_events(objects: Iterable[Raw], account: str | None) -> tuple[ListedEvent, ...]:
    """Return the events of a page of the list of an account; what is no event is left out."""
    return tuple(
        ListedEvent(
            event_id=event_id,
            type=enum_in(raw, "type"),
            created_at=created_at,
            account=account,
            raw=raw,
        )
        for raw in objects
        if (event_id := usable_id(raw.get("id"))) and (created_at := time_in(raw, "created"))
    )


def compare_listed(
    events: Iterable[ListedEvent], standings: Mapping[str, KnownState], *, now: datetime
) -> tuple[ComparedEvent, ...]:
    """Return what each event means; ``now`` is by Stripe's clock."""
    return tuple(
        ComparedEvent(event=each, verdict=_verdict(each, standings.get(each.event_id), now))
        for each in events
    )


def _verdict(event: ListedEvent, standing: KnownState | None, now: datetime) -> ListedState:
    if event.type not in HANDLED_TYPES:
        return ListedState.NOT_READ
    match standing:
        case KnownState.SETTLED | KnownState.TWIN_SETTLED:
            return ListedState.AGREES
        case KnownState.WAITING:
            return ListedState.WAITING
        case KnownState.DISCARDED:
            return ListedState.DISCARDED
        case KnownState.DEAD:
            return ListedState.DEAD
        case KnownState.UNKNOWN | None:
            return ListedState.MOVING if now - event.created_at < YOUNG else ListedState.MISSING
        case _:
            assert_never(standing)


def find_standings(
    connection: Connection, inbox: Inbox, events: Sequence[ListedEvent]
) -> dict[str, KnownState]:
    """Return what has become of each event of a type that is read.

    The inbox is asked before the database: an event that leaves it is settled or dead by then.
    """
    read = {each.event_id: each for each in events if each.type in HANDLED_TYPES}
    standings = dict.fromkeys(inbox.pending([*read]), KnownState.WAITING)
    standings |= _dead(connection, [*read])
    standings |= _settled(connection, [*read])
    unknown = [each for event_id, each in read.items() if event_id not in standings]
    return standings | _twins(connection, unknown)


def _settled(connection: Connection, ids: Sequence[str]) -> dict[str, KnownState]:
    settled = connection.scalars(sa.select(StripeEvent.id).where(one_of(StripeEvent.id, ids)))
    return dict.fromkeys(settled, KnownState.SETTLED)


def _dead(connection: Connection, ids: Sequence[str]) -> dict[str, KnownState]:
    query = sa.select(DeadLetter.event_id, DeadLetter.state).where(one_of(DeadLetter.event_id, ids))
    meant = {"open": KnownState.DEAD, "discarded": KnownState.DISCARDED}
    return {
        row.event_id: meant[row.state] for row in connection.execute(query) if row.state in meant
    }


def _twins(connection: Connection, events: Sequence[ListedEvent]) -> dict[str, KnownState]:
    """Return those of which the thin event of the same change is settled and was read."""
    objects = sorted({each.object_id for each in events if each.object_id})
    if not objects:
        return {}
    thin = [
        (row.type, row.object_id, row.created_at)
        for row in connection.execute(_THIN_EVENTS, {"objects": objects})
    ]
    return {
        each.event_id: KnownState.TWIN_SETTLED
        for each in events
        if any(_is_twin(each, *other) for other in thin)
    }


def _is_twin(event: ListedEvent, thin_type: str, object_id: str, created_at: datetime) -> bool:
    return (
        thin_type == f"v1.{event.type}"
        and object_id == event.object_id
        and abs(created_at - event.created_at) < _TWIN_WITHIN
    )


_THIN_EVENTS: Final = sa.text(
    "SELECT DISTINCT event.id, event.type, event.object_id, event.created_at"
    " FROM api_observations AS seen"
    " JOIN stripe_events AS event ON event.observations @> ARRAY[seen.id]"
    " WHERE seen.object_id = ANY(:objects) AND event.type LIKE 'v1.%'"
)
