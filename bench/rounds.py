"""Run the rounds: every candidate once in each, Paidup and peers in turn."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Final, TypeVar

from bench import measures, mixes, peers, rows
from bench.course import PACES, Course
from bench.figures import (
    ACKNOWLEDGED,
    DJSTRIPE,
    DRAIN,
    END_TO_END,
    FILLED,
    NOTHING,
    ONE_WRITE,
    PIPELINE,
    SECOND_MIX,
    SYNC_ENGINE,
    USUAL,
    Figures,
    processes,
)
from bench.machine import BenchMachine, prepare, set_processes
from bench.past import analyze, load_past
from ops.up.stack import Stack

Candidate = TypeVar("Candidate")

_TEMPLATE_EVENTS: Final = 5000
_SECOND_TURN: Final = 1
_PACED_TURN: Final = 2
_COURSE_TURNS: Final = _PACED_TURN + len(PACES) + 1
"""Turns of a course's samples (``mixes``): the flow, the second mix, each pace, the backlog."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """The sizes of the samples; smaller samples say less."""

    rounds: int
    events: int
    drained: int
    backlog: int
    filled: int
    seconds: int
    old: tuple[mixes.OldCustomers, ...]

    @property
    def reduced(self) -> "Scale":
        """The sizes for the further settings, so that all of them fit into half an hour."""
        return replace(self, seconds=max(self.seconds // 2, 1), backlog=self.backlog // 5)


FULL: Final = Scale(
    rounds=5,
    events=6000,
    drained=10_000,
    backlog=100_000,
    filled=5_000_000,
    seconds=10,
    old=mixes.OLD,
)
QUICK: Final = Scale(
    rounds=2,
    events=1500,
    drained=4000,
    backlog=6000,
    filled=100_000,
    seconds=3,
    old=mixes.FEWER_OLD,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """The events of one course."""

    flow: mixes.Bodies
    paced: Mapping[int, mixes.Bodies]
    backlog: mixes.Bodies


def sampled(scale: Scale, salt: str = "", *, turn: int = 0) -> Sample:
    """Return as many events as the scale says, the same for the same salt and turn."""
    first = partial(mixes.first, old=scale.old)
    return Sample(
        flow=first(scale.events, f"end to end{salt}", turn=turn),
        paced={
            rate: first(rate * scale.seconds, f"paced {rate}{salt}", turn=turn + place)
            for place, rate in enumerate(PACES, start=_PACED_TURN)
        },
        backlog=first(scale.backlog, f"backlog{salt}", turn=turn + _COURSE_TURNS - 1),
    )


class BenchRounds:
    """One run; its databases are copies of templates that are made once."""

    def __init__(
        self,
        machine: BenchMachine,
        scale: Scale,
        figures: Figures,
        say: Callable[[str], None],
        *,
        with_peers: bool,
    ) -> None:
        self._machine = machine
        self._scale = scale
        self._figures = figures
        self._note = figures.note
        self._began = time.monotonic()
        self._tell = say
        self._with_peers = with_peers
        self._number = 0

    def run(self) -> None:
        """Make the templates, then measure every figure in each round."""
        self._prepare()
        for number in range(1, self._scale.rounds + 1):
            self._number = number
            for step in (
                self._live,
                self._grows,
                self._drains,
                self._filled,
                self._limits,
                self._peers,
            ):
                self._say(f"round {number} of {self._scale.rounds}: {step.__name__.strip('_')}")
                step()

    def _say(self, text: str) -> None:
        self._tell(f"{time.monotonic() - self._began:6.0f} s  {text}")

    # Templates --------------------------------------------------------------------------

    def _prepare(self) -> None:
        self._say("templates")
        prepare(self._machine.database("empty"))
        past = list(mixes.past(self._scale.old))
        self._say(f"the {len(past):,} events of old customers")
        aged = self._machine.database("aged", like="empty")
        load_past(aged, past)
        analyze(aged)
        self._prepare_peers(past)
        source = self._machine.database("source", like="empty")
        with self._machine.stack(source, 2) as running:
            measures.end_to_end(
                running, mixes.first(_TEMPLATE_EVENTS, "template", began=mixes.LONG_AGO)
            )
        self._wrote = rows.tables(source, with_rows=True)
        self._say(f"a database of {self._scale.filled:,} events")
        self._full = self._machine.database("filled", like="empty")
        rows.fill(source, self._full, self._scale.filled // _TEMPLATE_EVENTS)
        load_past(self._full, past)

    def _prepare_peers(self, past: mixes.Bodies) -> None:
        """Make the databases of the peers, and send them what Paidup's contains beforehand."""
        database = peers.prepare_usual(self._machine)
        with peers.usual(self._machine, database) as peer:
            measures.peers_flowed(peer, past)
        if self._with_peers:
            peers.prepare(self._machine)
            with peers.sync_engine(self._machine, peers.SYNC_ENGINE, past) as peer:
                measures.peers_flowed(peer, past)

    @cached_property
    def _much(self) -> Sample:
        return sampled(self._scale)

    @cached_property
    def _little(self) -> Sample:
        return sampled(self._scale.reduced)

    def _fresh(self, name: str) -> str:
        return self._machine.database(name, like="aged")

    # Paidup, live -------------------------------------------------------------------------

    def _live(self) -> None:
        with self._machine.stack(self._fresh("live"), 2) as running:
            course = Course(self._machine, running, self._figures)
            course.flow(self._much.flow)
            second = mixes.second(
                self._scale.events, "second", old=self._scale.old, turn=_SECOND_TURN
            )
            rate = measures.end_to_end(running, second)
            self._note(END_TO_END, SECOND_MIX, "events/s", rate)
            course.paces(self._much.paced)
            course.catch_up(self._much.backlog, self._scale.reduced.backlog)

    def _grows(self) -> None:
        for count in self._by_turns((1, 4)):
            with self._machine.stack(self._fresh("grows"), count) as running:
                self._short_course(running, self._little, processes(count))

    def _short_course(self, running: Stack, sample: Sample, setting: str) -> None:
        course = Course(self._machine, running, self._figures, setting)
        course.flow(sample.flow)
        course.paces(sample.paced)
        course.catch_up(sample.backlog, len(sample.backlog))

    # Paidup, from a backlog ---------------------------------------------------------------

    def _drains(self) -> None:
        candidates = [(n, False) for n in (1, 2, 3, 4)] + [(n, True) for n in (1, 2)]
        with self._machine.stack(self._fresh("drains"), 1) as running:
            for turn, (count, second) in enumerate(self._by_turns(candidates)):
                name = processes(count, second=second)
                kind = mixes.second if second else mixes.first
                set_processes(running, count)
                events = kind(self._scale.drained, name, old=self._scale.old, turn=turn)
                rate = measures.drained(running, events)
                self._note(DRAIN, name, "events/s", rate)

    def _by_turns(self, candidates: Sequence[Candidate]) -> Sequence[Candidate]:
        return candidates if self._number % 2 else candidates[::-1]

    def _filled(self) -> None:
        # The database stays from round to round, so each round has other, later events.
        salt, turn = f", filled {self._number}", self._number * (_COURSE_TURNS + 1)
        with self._machine.stack(self._full, 2) as running:
            set_processes(running, 2)
            events = mixes.first(
                self._scale.drained, f"drain{salt}", old=self._scale.old, turn=turn
            )
            rate = measures.drained(running, events)
            self._note(DRAIN, FILLED, "events/s", rate)
        # Emptied: after a drain Redis could rewrite its file during the course.
        with self._machine.stack(self._full, 2) as running:
            sample = sampled(self._scale.reduced, salt, turn=turn + 1)
            self._short_course(running, sample, FILLED)

    # Limits and peers -------------------------------------------------------------------

    def _limits(self) -> None:
        self._machine.empty_redis()
        events = self._much.flow
        for name, kind in ((NOTHING, "nothing"), (ONE_WRITE, "redis")):
            with peers.limit(self._machine, kind) as peer:
                rate = measures.acknowledged(peer, events).rate
                self._note(ACKNOWLEDGED, name, "requests/s", rate)
        rate = rows.pipelined(
            self._machine.database("pipeline", like="empty"), self._wrote, _TEMPLATE_EVENTS
        )
        self._note(DRAIN, PIPELINE, "events/s", rate)

    def _peers(self) -> None:
        events = self._much.flow
        database = self._machine.database("usual_round", like=peers.USUAL)
        with peers.usual(self._machine, database) as peer:
            rate = measures.peers_end_to_end(peer, events[: len(events) // 4])
            self._note(END_TO_END, USUAL, "events/s", rate)
        if not self._with_peers:
            return
        self._machine.database("sync_engine_round", like=peers.SYNC_ENGINE)
        with peers.sync_engine(self._machine, "sync_engine_round", events) as peer:
            rate = measures.peers_end_to_end(peer, events)
            self._note(END_TO_END, SYNC_ENGINE, "events/s", rate)
        few = events[: len(events) // 15]
        # Stripe's API knows objects of later events, too.
        with peers.djstripe(self._machine, events) as peer:
            self._note(END_TO_END, DJSTRIPE, "events/s", measures.peers_end_to_end(peer, few))
