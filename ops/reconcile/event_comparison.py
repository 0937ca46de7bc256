"""Take pages of events: judge each event, store what differs, and put in what is missing."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cached_property
from typing import Final, Protocol

from sqlalchemy.engine import Connection

from billing.json_fields import Raw
from ops.reconcile.course import ComparisonRun, PartEnded
from ops.reconcile.differences import write_differences
from ops.reconcile.event_days import count_event
from ops.reconcile.missing_events import (
    ComparedEvent,
    ListedEvent,
    ListedState,
    compare_listed,
    find_standings,
    read_events,
)
from ops.reconcile.put_in import MissingEventInput, Results
from ops.stripe_runs.asking import PatientApi
from ops.stripe_runs.same_account import Proof, prove_account

_READING: Final = "events read"
_APPLYING: Final = "events wait to be applied"

NOT_PROVEN: Final = (
    "no event of this account was settled here within 29 days, so the schedule puts none in:"
    " `paidup reconcile --apply --reason WHY` does"
)


class Progress(Protocol):
    """The function that stores how far a list is read, in the transaction that stores a page."""

    def __call__(self, connection: Connection) -> None:
        """Write it, and renew the lease."""


class EventComparison:
    """The comparison of one run; its counts are the run's."""

    def __init__(self, course: ComparisonRun) -> None:
        self.api = PatientApi(course.make_api(), course.account, course.pause)
        self._course = course
        self._asked_before = course.run.requests
        self._door = MissingEventInput(
            inbox=course.inbox,
            publish=course.publish,
            actor=course.wish.actor,
            reason=course.wish.reason or "",
            pause=course.pause,
            tell=course.tell,
        )

    def prove(self) -> None:
        """Make sure that the key is that of the account whose events are here.

        Days of another account must not be closed, though nothing is missing on them.

        Raises:
            ApiFailure: Stripe does not answer.
            OtherAccount: it is not.
        """
        self._proof  # noqa: B018 - it asks once

    def take(self, objects: Sequence[Raw], now: datetime, save: Progress, *, by_day: bool) -> None:
        """Compare one page; ``now`` is by Stripe's clock. ``by_day`` counts each event's day."""
        judged = self._judge(objects, now)
        missing = [each.event for each in judged if each.verdict is ListedState.MISSING]
        putting = missing if missing and self._may_put_in else []
        if putting:
            self._door.wait_for_room(len(putting))
        with self._course.engine.begin() as connection:
            self._count(judged, by_day=by_day)
            self._store(connection, judged, putting)
            save(connection)
        self._door.send_wakes()
        self._course.report(_READING, self._course.run.counts["events"])

    def beat(self, connection: Connection) -> None:
        """Store the number of requests, and renew the lease; for a list that is not walked."""
        self._course.run.requests = self._asked_before + self.api.sent
        self._course.run.beat(connection)

    def ended(self, *, not_compared: Sequence[str] = (), unread: Sequence[str] = ()) -> PartEnded:
        """Wait for the results of what was put in, and return what was found."""
        course = self._course
        if course.wish.applies_events:
            waiting = Results(
                engine=course.engine,
                inbox=course.inbox,
                run=course.run.id,
                pause=course.pause,
                tell=course.tell,
            )
            waiting.wait(lambda left: course.report(_APPLYING, left))
        said = [*not_compared]
        if course.run.counts["not proven"]:
            said.append(NOT_PROVEN)
        return PartEnded(
            agreed={"events": course.run.counts[ListedState.AGREES]},
            not_compared=tuple(said),
            unread=tuple(unread),
        )

    def _judge(self, objects: Sequence[Raw], now: datetime) -> tuple[ComparedEvent, ...]:
        events = read_events(objects, self._course.account.account)
        with self._course.engine.connect() as connection:
            standings = find_standings(connection, self._course.inbox, events)
        return compare_listed(events, standings, now=now)

    @cached_property
    def _proof(self) -> Proof:
        """The knowledge of whose the key is; asks Stripe once."""
        return prove_account(self._course.engine, self.api)

    @cached_property
    def _may_put_in(self) -> bool:
        """True if what is missing is put in."""
        wish = self._course.wish
        if not wish.applies_events:
            return False
        if self._proof is Proof.OPEN and wish.scheduled:
            self._course.run.counts["not proven"] = 1
            return False
        return True

    def _count(self, judged: Sequence[ComparedEvent], *, by_day: bool) -> None:
        counts = self._course.run.counts
        for each in judged:
            counts["events"] += 1
            counts[each.verdict] += 1
            if by_day:
                event = each.event
                count_event(counts, event.event_id, event.created_at, open_here=each.is_open)

    def _store(
        self,
        connection: Connection,
        judged: Sequence[ComparedEvent],
        putting: Sequence[ListedEvent],
    ) -> None:
        put: Mapping[str, object] = {each.event_id: each for each in putting}
        found = [
            difference
            for each in judged
            if each.event.event_id not in put and (difference := each.difference()) is not None
        ]
        write_differences(connection, self._course.run.id, found)
        write_differences(connection, self._course.run.id, self._door.put(connection, putting))
