"""Measure what live events cost beside a comparison of events, and what they cost without one."""

import time
from dataclasses import dataclass
from typing import Final

from bench import measures
from bench.beside_preview import LiveCost, LiveTraffic
from bench.reconcile.commands import ReconcileCommands

_READ: Final = "SELECT coalesce(sum((counts ->> 'events')::bigint), 0) FROM stripe_runs"


@dataclass(frozen=True, kw_only=True)
class BesideReconcile:
    """Live traffic, and the command that compares events beside it."""

    traffic: LiveTraffic
    commands: ReconcileCommands

    def measure(self, name: str) -> tuple[LiveCost, float]:
        """Return what a live event cost, and how many events of Stripe were compared a second."""
        before = self._read()
        with self.commands.beside("--events-only"):
            measures.wait(lambda: self._read() > before)
            compared, began = self._read(), time.monotonic()
            cost = self.traffic.alone(name)
            rate = (self._read() - compared) / (time.monotonic() - began)
        return cost, rate

    def _read(self) -> int:
        return self.traffic.asked(_READ)
