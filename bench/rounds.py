"""What a round takes, in which order: every candidate once, ours and theirs by turns."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from bench import costs, measures, mixes, peers, rows
from bench.figures import (
    ACKNOWLEDGED,
    AFTER,
    ANSWER,
    APPLIED,
    BEFORE,
    BYTES,
    CATCH_UP,
    CPU,
    DJSTRIPE,
    DRAIN,
    END_TO_END,
    FILLED,
    MEMORY,
    NOTHING,
    ONE_WRITE,
    PAIDUP,
    PIPELINE,
    SECOND_MIX,
    SYNC_ENGINE,
    USUAL,
    Figures,
    processes,
)
from bench.machine import Machine, prepare, set_processes
from ops.up import Stack

_SLOW: Final = 100
_FAST: Final = 1000
_TEMPLATE_EVENTS: Final = 5000


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """How much is measured; smaller samples say less."""

    rounds: int
    events: int
    drained: int
    backlog: int
    filled: int
    seconds: int


FULL: Final = Scale(
    rounds=5, events=6000, drained=10_000, backlog=100_000, filled=5_000_000, seconds=10
)
QUICK: Final = Scale(rounds=2, events=1500, drained=4000, backlog=6000, filled=100_000, seconds=3)


class Rounds:
    """One run; its databases are copies of templates that are made once."""

    def __init__(
        self,
        machine: Machine,
        scale: Scale,
        figures: Figures,
        say: Callable[[str], None],
        *,
        with_peers: bool,
    ) -> None:
        self._machine = machine
        self._scale = scale
        self._note = figures.note
        self._began = time.monotonic()
        self._tell = say
        self._with_peers = with_peers
        self._number = 0

    def run(self) -> None:
        """Make the templates, then take every figure in each round."""
        self._prepare()
        for number in range(1, self._scale.rounds + 1):
            self._number = number
            for step in (self._live, self._drains, self._filled, self._limits, self._peers):
                self._say(f"round {number} of {self._scale.rounds}: {step.__name__.strip('_')}")
                step()

    def _say(self, text: str) -> None:
        self._tell(f"{time.monotonic() - self._began:6.0f} s  {text}")

    # Templates --------------------------------------------------------------------------

    def _prepare(self) -> None:
        self._say("templates")
        prepare(self._machine.database("empty"))
        if self._with_peers:
            peers.prepare(self._machine)
        source = self._machine.database("source", like="empty")
        with self._machine.stack(source, 2) as running:
            measures.end_to_end(running, mixes.first(_TEMPLATE_EVENTS, "template"))
        self._wrote = rows.tables(source, with_rows=True)
        self._say(f"a database of {self._scale.filled:,} events")
        self._full = self._machine.database("filled", like="empty")
        rows.fill(source, self._full, self._scale.filled // _TEMPLATE_EVENTS)

    @cached_property
    def _backlog(self) -> mixes.Bodies:
        return mixes.first(self._scale.backlog, "backlog")

    def _first(self, name: str, count: int | None = None) -> mixes.Bodies:
        return mixes.first(count or self._scale.events, name)

    def _fresh(self, name: str) -> str:
        return self._machine.database(name, like="empty")

    # Ours, live -------------------------------------------------------------------------

    def _live(self) -> None:
        with self._machine.stack(self._fresh("live"), 2) as running:
            self._flowing(running)
            self._catching_up(running)

    def _flowing(self, running: Stack) -> None:
        rate = measures.end_to_end(running, self._first("end to end"))
        self._note(END_TO_END, PAIDUP, "events/s", rate)
        second = mixes.second(self._scale.events, "second")
        self._note(END_TO_END, SECOND_MIX, "events/s", measures.end_to_end(running, second))
        for rate in (_SLOW, _FAST):
            self._paced(running, rate)

    def _paced(self, running: Stack, rate: int) -> None:
        events = self._first(f"paced {rate}", rate * self._scale.seconds)
        answers, (middle, last) = measures.lag(running, events, rate)
        self._note(APPLIED, f"{rate:,}/s, p50", "ms", middle)
        self._note(APPLIED, f"{rate:,}/s, p99", "ms", last)
        if rate == _FAST:
            self._note(ANSWER, "p50", "ms", answers.percentile(50))
            self._note(ANSWER, "p99", "ms", answers.percentile(99))

    def _catching_up(self, running: Stack) -> None:
        """A backlog comes in while no worker runs; two processes then work it off."""
        self._memory(running, BEFORE)
        set_processes(running, 2)
        bytes_before, cpu_before = self._held(running), self._cpu(running)
        few = len(self._backlog) // 10
        answers = measures.acknowledged(measures.ingest_of(running), self._backlog[:few])
        self._note(ACKNOWLEDGED, PAIDUP, "requests/s", answers.rate)
        self._note(ACKNOWLEDGED, f"{PAIDUP}, p50", "ms", answers.percentile(50))
        self._note(ACKNOWLEDGED, f"{PAIDUP}, p99", "ms", answers.percentile(99))
        measures.acknowledged(measures.ingest_of(running), self._backlog[few:])
        waiting = self._held(running) - bytes_before
        self._per_thousand(BYTES, "Redis, while they wait", "kB", waiting.redis / 1e3)
        seconds = measures.caught_up(running)
        total = len(self._backlog)
        self._note(CATCH_UP, f"{total:,} events, 2 processes", "s", seconds)
        self._note(CATCH_UP, "events a second", "events/s", total / seconds)
        self._costs(running, bytes_before, cpu_before)
        self._memory(running, AFTER)

    def _held(self, running: Stack) -> costs.Bytes:
        return costs.held(self._machine, running.database_url)

    def _cpu(self, running: Stack) -> dict[str, float]:
        return costs.by_kind(self._machine, running)

    def _costs(
        self, running: Stack, bytes_before: costs.Bytes, cpu_before: dict[str, float]
    ) -> None:
        for name, seconds in self._cpu(running).items():
            self._per_thousand(CPU, name, "s", seconds - cpu_before[name])
        used = self._held(running) - bytes_before
        self._per_thousand(BYTES, "Redis, once settled", "kB", used.redis / 1e3)
        self._per_thousand(BYTES, "PostgreSQL", "kB", used.postgresql / 1e3)
        self._per_thousand(BYTES, "PostgreSQL's log", "kB", used.postgresql_written / 1e3)

    def _per_thousand(self, kind: str, name: str, unit: str, value: float) -> None:
        self._note(kind, name, unit, value * 1000 / len(self._backlog))

    def _memory(self, running: Stack, when: str) -> None:
        found = costs.processes(self._machine, running)
        for name, size in costs.memory(found).items():
            self._note(MEMORY, f"{name}, {when}", "MB", size)

    # Ours, from a backlog ---------------------------------------------------------------

    def _drains(self) -> None:
        candidates = [(n, False) for n in (1, 2, 3, 4)] + [(n, True) for n in (1, 2)]
        with self._machine.stack(self._fresh("drains"), 1) as running:
            for count, second in self._by_turns(candidates):
                name = processes(count, second=second)
                kind = mixes.second if second else mixes.first
                set_processes(running, count)
                rate = measures.drained(running, kind(self._scale.drained, name))
                self._note(DRAIN, name, "events/s", rate)

    def _by_turns(self, candidates: Sequence[tuple[int, bool]]) -> Sequence[tuple[int, bool]]:
        return candidates if self._number % 2 else candidates[::-1]

    def _filled(self) -> None:
        # The database stays from round to round, so its events are other ones in each.
        with self._machine.stack(self._full, 2) as running:
            set_processes(running, 2)
            events = self._first(f"filled {self._number}", self._scale.drained)
            rate = measures.drained(running, events)
            self._note(DRAIN, FILLED, "events/s", rate)

    # Limits and peers -------------------------------------------------------------------

    def _limits(self) -> None:
        self._machine.empty_redis()
        events = self._first("limits")
        for name, kind in ((NOTHING, "nothing"), (ONE_WRITE, "redis")):
            with peers.limit(self._machine, kind) as peer:
                rate = measures.acknowledged(peer, events).rate
                self._note(ACKNOWLEDGED, name, "requests/s", rate)
        rate = rows.pipelined(self._fresh("pipeline"), self._wrote, _TEMPLATE_EVENTS)
        self._note(DRAIN, PIPELINE, "events/s", rate)

    def _peers(self) -> None:
        events = self._first("end to end")
        with peers.usual(self._machine) as peer:
            rate = measures.peers_end_to_end(peer, events[: len(events) // 4])
            self._note(END_TO_END, USUAL, "events/s", rate)
        if not self._with_peers:
            return
        with peers.sync_engine(self._machine, events) as peer:
            rate = measures.peers_end_to_end(peer, events)
            self._note(END_TO_END, SYNC_ENGINE, "events/s", rate)
        few = events[: len(events) // 15]
        with peers.djstripe(self._machine, few) as peer:
            self._note(END_TO_END, DJSTRIPE, "events/s", measures.peers_end_to_end(peer, few))
