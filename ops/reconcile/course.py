"""The request of a reconciliation, and all that its parts work with."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Final

from sqlalchemy.engine import Engine

from ops.stripe_runs.runs import OpenRun
from runtime.broker import Publish
from runtime.inbox.inbox import Inbox
from runtime.reconciling import ComparedPart
from runtime.settings import Settings
from runtime.stripe_api.accounts import ApiAccount
from runtime.stripe_api.client import StripeApi
from runtime.time_limits import STRIPE_RUN_BEAT_SECONDS

SCHEDULE: Final = "schedule"
"""The actor of what the schedule does, in runs and in the audit."""

SCHEDULED_REASON: Final = "by schedule"


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparisonRequest:
    """A request to compare, and what to do about differences.

    ``first`` is the first day (UTC) of events, and of the objects that are bounded by time;
    ``every_day`` reads closed days again. ``user`` or ``customer`` limit it to one of them.
    ``applies_events`` and ``applies_objects`` say which differences are repaired.
    """

    actor: str
    reason: str | None
    parts: tuple[ComparedPart, ...] = (ComparedPart.EVENTS, ComparedPart.OBJECTS)
    first: date | None = None
    every_day: bool = False
    user: str | None = None
    customer: str | None = None
    applies_events: bool = False
    applies_objects: bool = False
    scheduled: bool = False

    @property
    def is_whole(self) -> bool:
        """True if nothing that Stripe lists of these parts is left out."""
        return self.first is None and self.user is None and self.customer is None

    def said(self) -> dict[str, Any]:
        """Return what equal wishes have equal, as JSON values."""
        return {
            "parts": [*map(str, self.parts)],
            "whole": self.is_whole,
            "first": self.first.isoformat() if self.first else None,
            "every_day": self.every_day,
            "user": self.user,
            "customer": self.customer,
            "apply": [
                *(["events"] if self.applies_events else []),
                *(["objects"] if self.applies_objects else []),
            ],
            "scheduled": self.scheduled,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparisonRun:
    """One run of one account and mode, as its parts use it.

    ``make_api`` returns a client with a budget of its own for each thread. ``report`` tells how
    much of what is read or waited for; ``tell`` says a sentence once.
    """

    settings: Settings
    engine: Engine
    inbox: Inbox
    publish: Publish
    make_api: Callable[[], StripeApi]
    account: ApiAccount
    run: OpenRun
    wish: ComparisonRequest
    wait: Callable[[float], None]
    """Sleep; raises ``Interrupted`` once a person asked to stop."""
    is_stopping: Callable[[], bool]
    report: Callable[[str, int], None]
    tell: Callable[[str], None]
    clock: Callable[[], float] = time.monotonic
    _beaten: list[float] = field(default_factory=list)

    def pause(self, seconds: float) -> None:
        """Sleep between two steps, and keep the lease of the run meanwhile.

        Raises:
            Interrupted: a person asked to stop.
            RunLost: the run was cancelled, or another process has it.
        """
        until = self.clock() + seconds
        while True:
            self._beat_if_due()
            left = until - self.clock()
            if left <= 0:
                return
            self.wait(min(left, STRIPE_RUN_BEAT_SECONDS))

    def _beat_if_due(self) -> None:
        now = self.clock()
        if self._beaten and now - self._beaten[-1] < STRIPE_RUN_BEAT_SECONDS:
            return
        with self.engine.begin() as connection:
            self.run.beat(connection)
        self._beaten[:] = [now]


@dataclass(frozen=True, slots=True, kw_only=True)
class PartEnded:
    """The findings of one part of a run, beside the differences that it stored.

    ``agreed`` counts what both sides have alike, by name. ``not_compared`` are sentences about what
    was left out. ``unread`` are ranges that Stripe did not answer; the run is then not done.
    """

    agreed: Mapping[str, int]
    not_compared: tuple[str, ...] = ()
    unread: tuple[str, ...] = ()
