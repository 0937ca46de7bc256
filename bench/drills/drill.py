"""A drill as a value: an alert, the cause that raises it, and what it restores."""

import re
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Final

from bench.drills.site import DrillSite

PREFIX: Final = "Paidup"
_WORD: Final = re.compile(r"[A-Z][a-z]+")

Cause = Callable[[DrillSite], AbstractContextManager[None]]
"""Produce what raises the alert; at the end of the block take it away and restore what was."""


class DrillFailed(Exception):
    """A drill did not go as it should; the message says what to look at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Drill:
    """One alert, and how to raise it on a running stack."""

    alert: str
    does: str
    """A sentence about what the drill does to the stack."""
    cause: Cause
    page: str
    """The console's page that shows it."""
    along: frozenset[str] = frozenset()
    """Other alerts that the same cause rightly raises."""
    mend: Callable[[DrillSite], None] | None = None
    """Take away what the same drill left when it was killed, if a restart of the stack does not."""
    stays: str | None = None
    """Until when the alert stays although the cause is gone; None if it goes with the cause."""
    past: Callable[[], str] | None = None
    """Samples of days before, as OpenMetrics, for an alert that needs more than the present."""

    @property
    def name(self) -> str:
        """The name on the command line: the alert's words without the prefix."""
        return "-".join(_WORD.findall(self.alert.removeprefix(PREFIX))).lower()
