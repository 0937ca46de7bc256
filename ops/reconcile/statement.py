"""State what a comparison of events alone found; that of objects is ``ops/reconcile/agreement.py``.

Both are kept in the row of the run, and every place that shows one says the same sentence.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from sqlalchemy.engine import Connection

from ops.reconcile.course import ComparisonRun, PartEnded
from ops.reconcile.differences import DifferenceClass, DifferenceState, count_differences
from ops.terminal.formats import format_count, format_time
from ops.terminal.output import Json
from runtime.reconciling import ComparedPart


class ComparisonStatement(Protocol):
    """The end of a run, of events alone or of objects as well."""

    @property
    def sentence(self) -> str:
        """The statement in words."""

    def document(self) -> dict[str, Json]:
        """Return it as JSON values."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EventStatement:
    """The events that both have at a time, and how many differ, by state."""

    realm: str
    as_of: datetime
    part: ComparedPart
    events: int
    differ: Mapping[str, int]
    not_compared: tuple[str, ...]

    @property
    def differing(self) -> int:
        """The events that are missing and stand so, or that a person has to decide about."""
        return self.differ[DifferenceState.STANDS] + self.differ[DifferenceState.LEFT]

    @property
    def sentence(self) -> str:
        """The statement in words."""
        which = "undelivered event" if self.part is ComparedPart.UNDELIVERED else "event"
        agreed = format_count(self.events, which)
        missing = format_count(self.differ[DifferenceState.STANDS], "event")
        left = format_count(self.differ[DifferenceState.LEFT], "event")
        words = [
            f"Stripe and Paidup agree on {agreed}, as of {format_time(self.as_of)}.",
            f"{missing} missing here, {left} left to a person.",
        ]
        if repaired := self.differ[DifferenceState.REPAIRED]:
            words.append(f"{format_count(repaired, 'event')} put in and applied by this run.")
        if moving := self.differ[DifferenceState.MOVING]:
            words.append(f"{format_count(moving, 'event')} so young that it may still arrive.")
        return " ".join(words)

    def document(self) -> dict[str, Json]:
        """Return it as JSON values; it is never whole, because no object was compared."""
        return {
            "realm": self.realm,
            "as_of": self.as_of.isoformat(),
            "parts": [str(self.part)],
            "whole": False,
            "agrees": self.differing == 0,
            "events": self.events,
            "differ": {str(DifferenceClass.MISSING_EVENT): dict(self.differ)},
            "not_compared": list(self.not_compared),
            "says": self.sentence,
        }


def statement_of_events(
    connection: Connection, course: ComparisonRun, part: ComparedPart, ended: PartEnded
) -> EventStatement:
    """Return the statement of a run that compared events alone."""
    differ = count_differences(connection, course.run.id)
    return EventStatement(
        realm=course.account.realm,
        as_of=course.run.started_at,
        part=part,
        events=ended.agreed["events"],
        differ=differ[DifferenceClass.MISSING_EVENT],
        not_compared=ended.not_compared,
    )
