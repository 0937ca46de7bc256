"""Measure a running stack: a flow of events, two rates, and a backlog.

Each setting runs the same course, so that its figures can be compared. Only the number of events
differs.
"""

from collections.abc import Mapping
from functools import partial
from typing import Final

from bench import costs, measures
from bench.figures import (
    ACKNOWLEDGED,
    AFTER,
    ANSWER,
    APPLIED,
    BEFORE,
    BYTES,
    CATCH_UP,
    CPU,
    END_TO_END,
    MEMORY,
    PAIDUP,
    USUAL_SETTING,
    Figures,
)
from bench.machine import BenchMachine, stop_worker
from bench.mixes import Bodies
from ops.up.stack import Stack

_FAST: Final = 1000
PACES: Final = (100, _FAST)
"""Events per second."""


class Course:
    """One stack in one setting; its figures are recorded under that setting."""

    def __init__(
        self, machine: BenchMachine, running: Stack, figures: Figures, setting: str = USUAL_SETTING
    ) -> None:
        self._machine = machine
        self._running = running
        self._note = partial(figures.note, setting=setting)

    def flow(self, events: Bodies) -> None:
        """Send as fast as events are accepted; record events per second and processor time."""
        warming, timed = measures.parts(events)
        measures.flowed(self._running, warming)
        before = self._cpu()
        self._note(END_TO_END, PAIDUP, "events/s", measures.flowed(self._running, timed))
        for name, seconds in self._cpu().items():
            self._note(CPU, name, "s", (seconds - before[name]) * 1000 / len(timed))

    def paces(self, paced: Mapping[int, Bodies]) -> None:
        """Send at a rate; record the time until COMMIT and the time until the answer."""
        for rate, events in paced.items():
            answers, (middle, last) = measures.lag(self._running, events, rate)
            self._note(APPLIED, f"{rate:,}/s, p50", "ms", middle)
            self._note(APPLIED, f"{rate:,}/s, p99", "ms", last)
            if rate == _FAST:
                self._note(ANSWER, "p50", "ms", answers.percentile(50))
                self._note(ANSWER, "p99", "ms", answers.percentile(99))

    def catch_up(self, backlog: Bodies, few: int) -> None:
        """Fill a backlog while no worker runs, then start one and measure how it drains.

        ``few`` events wait in every setting. If there are more, the time for the first ``few`` is
        recorded too.
        """
        self._memory(BEFORE)
        stop_worker(self._running)
        empty = self._held()
        self._accept(backlog, few // 2)
        waiting = self._held() - empty
        self._caught_up(len(backlog), few)
        settled = self._held() - empty
        self._memory(AFTER)
        for name, used in (
            ("Redis, while they wait", waiting.redis),
            ("Redis, once settled", settled.redis),
            ("PostgreSQL", settled.postgresql),
            ("PostgreSQL's log", settled.postgresql_written),
        ):
            # Bytes per event equal kilobytes per thousand events.
            self._note(BYTES, name, "kB", used / len(backlog))

    def _accept(self, backlog: Bodies, timed: int) -> None:
        endpoint = measures.ingest_of(self._running)
        answers = measures.acknowledged(endpoint, backlog[:timed])
        self._note(ACKNOWLEDGED, PAIDUP, "requests/s", answers.rate)
        self._note(ACKNOWLEDGED, f"{PAIDUP}, p50", "ms", answers.percentile(50))
        self._note(ACKNOWLEDGED, f"{PAIDUP}, p99", "ms", answers.percentile(99))
        measures.taken(endpoint, backlog[timed:])

    def _caught_up(self, total: int, few: int) -> None:
        marks = {total: f"{total:,} events", few: f"the first {few:,} events"}
        for mark, seconds in zip(
            sorted(marks), measures.caught_up(self._running, sorted(marks)), strict=True
        ):
            self._note(CATCH_UP, marks[mark], "s", seconds)

    def _memory(self, when: str) -> None:
        found = costs.processes(self._machine, self._running)
        for name, size in costs.memory(found).items():
            self._note(MEMORY, f"{name}, {when}", "MB", size)

    def _cpu(self) -> dict[str, float]:
        return costs.by_kind(self._machine, self._running)

    def _held(self) -> costs.Bytes:
        return costs.held(self._machine, self._running.database_url)
