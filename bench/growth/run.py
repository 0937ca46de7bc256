"""Measure a further event of parties with pasts of several sizes, by turns in each round."""

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from bench import measures, mixes
from bench.growth import grants, parties
from bench.growth.grants import BenchGrants
from bench.growth.moves import BenchMoves, MoveCosts
from bench.growth.parties import GrownParty, PartyKind
from bench.growth.reading import AmountRead, ReadingCounter, unless_too_long
from bench.growth.system import DrainingSystem, LoneCost, cost_here
from bench.machine import BenchMachine, prepare
from bench.past import APPLICATION, analyze, load_past
from runtime.database.engine import engine_for

PASTS: Final = {**{kind.name: kind.past for kind in parties.KINDS}, grants.NAME: "grants"}
"""What the past of each kind of event consists of."""

AT_ONCE: Final = {
    1: "update, one of {} in one second",
    2: "the same, every other one not heard",
}
"""The names of many updates at once, by of how many one is heard."""

_WARMING: Final = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class GrowthScale:
    """The sizes of pasts, one of which is 0, and how often and how long each is measured."""

    sizes: tuple[int, ...]
    rounds: int
    at_once: int
    seconds: float
    """The longest wait for what one turn measures."""


@dataclass(slots=True, kw_only=True)
class GrowthCell:
    """One kind of event after a past of one size: a cost for each round, and the amount read."""

    event: str
    size: int
    costs: list[LoneCost] = field(default_factory=list)
    read: AmountRead | None = None
    too_slow: bool = False


Measure = Callable[[DrainingSystem], LoneCost]


@dataclass(frozen=True, slots=True, kw_only=True)
class GrowthTurn:
    """One measurement; its cost counts from the first round on, round 0 warms up."""

    cell: GrowthCell
    counts: bool
    measure: Measure


def take_turns(
    turns: deque[GrowthTurn], system: DrainingSystem, tell: Callable[[str], None]
) -> None:
    """Take turns until none is left, or until one takes too long and the system is still busy.

    Its cell has no further turns.
    """
    while turns:
        turn = turns.popleft()
        if turn.cell.too_slow:
            continue
        try:
            cost = turn.measure(system)
        except TimeoutError:
            turn.cell.too_slow = True
            tell(f"too slow: {turn.cell.event}, after {turn.cell.size:,}")
            return
        if turn.counts:
            turn.cell.costs.append(cost)


class GrowthRun:
    """One run on a database of its own."""

    def __init__(
        self, machine: BenchMachine, scale: GrowthScale, tell: Callable[[str], None]
    ) -> None:
        self._machine = machine
        self._scale = scale
        self._tell = tell
        self._database = machine.database("growth")
        self._parties: dict[tuple[str, int], deque[GrownParty]] = {}
        self._users: dict[int, deque[str]] = {}
        self._cells: dict[tuple[str, int], GrowthCell] = {}

    def run(self) -> list[GrowthCell]:
        """Load the pasts, count what is read, then measure every round."""
        prepare(self._database)
        self._load()
        self._count_amounts()
        turns = deque(self._turns())
        while turns:
            self._tell(f"measuring, {len(turns)} turns to go")
            with self._machine.stack(self._database, 1) as running:
                measures.flowed(running, mixes.first(_WARMING, f"warming {len(turns)}"))
                take_turns(turns, DrainingSystem(running, self._scale.seconds), self._tell)
        return list(self._cells.values())

    def moves(self, rounds: int) -> list[MoveCosts]:
        """Measure moves of customers to other users, after every past but none."""
        engine = engine_for(self._database, application_name=APPLICATION, pool_size=1)
        moving, found = BenchMoves(engine), []
        for size in filter(None, self._scale.sizes):
            self._tell(f"moving {size:,} {parties.PAYMENTS.past}")
            (party,) = self._parties[parties.PAYMENTS.name, size]
            costs, user = MoveCosts(size=size), party.user
            for _ in range(rounds):
                user = moving.move(user, costs)
            found.append(costs)
        engine.dispose()
        return found

    # Before the rounds --------------------------------------------------------------------

    def _load(self) -> None:
        for kind in parties.KINDS:
            for size in self._scale.sizes:
                self._tell(f"loading {size:,} {kind.past}: {kind.name}")
                self._parties[kind.name, size] = deque(self._grown(kind, size))
        with self._grants() as stated:
            for size in self._scale.sizes:
                self._tell(f"loading {size:,} grants")
                self._users[size] = deque(f"usr_{size}_{n}" for n in range(self._copies(size)))
                for user in self._users[size]:
                    stated.load(user, size)
        analyze(self._database)

    def _copies(self, size: int) -> int:
        """Return how many parties have this past: a new one is new only once."""
        return 1 if size else self._scale.rounds + 1

    def _grown(self, kind: PartyKind, size: int) -> Iterator[GrownParty]:
        for number in range(self._copies(size)):
            party = parties.grown(kind, size, str(number), ahead=self._scale.rounds + 1)
            load_past(self._database, party.heard())
            yield party

    def _count_amounts(self) -> None:
        """Count what the first further event reads, and leave no trace of it."""
        engine = engine_for(self._database, application_name=APPLICATION, pool_size=1)
        counter = ReadingCounter(engine)
        for (name, size), (party, *_) in self._parties.items():
            self._cell(name, size).read = unless_too_long(
                partial(counter.of_events, party.coming())
            )
        stated = BenchGrants(engine)
        for size, (user, *_) in self._users.items():
            cell = self._cell(grants.NAME, size)
            work = partial(stated.add_in, user=user)
            cell.read = unless_too_long(partial(counter.of_work, work))
        engine.dispose()

    def _cell(self, event: str, size: int) -> GrowthCell:
        return self._cells.setdefault((event, size), GrowthCell(event=event, size=size))

    # The rounds ---------------------------------------------------------------------------

    def _turns(self) -> Iterator[GrowthTurn]:
        for number in range(self._scale.rounds + 1):
            sizes = self._scale.sizes if number % 2 else self._scale.sizes[::-1]
            for kind in parties.KINDS:
                for size in sizes:
                    measure = partial(self._further, kind.name, size)
                    yield self._turn(number, self._cell(kind.name, size), measure)
            for size in sizes:
                yield self._turn(number, self._cell(grants.NAME, size), partial(self._grant, size))
            for heard_of, name in AT_ONCE.items():
                cell = self._cell(name.format(self._scale.at_once), 0)
                yield self._turn(number, cell, partial(self._at_once, heard_of, number))

    def _turn(self, number: int, cell: GrowthCell, measure: Measure) -> GrowthTurn:
        return GrowthTurn(cell=cell, counts=number > 0, measure=measure)

    def _further(self, name: str, size: int, system: DrainingSystem) -> LoneCost:
        turns = self._parties[name, size]
        turns.rotate(-1)
        return system.one_by_one(turns[-1].further())

    def _grant(self, size: int, _system: DrainingSystem) -> LoneCost:
        users = self._users[size]
        users.rotate(-1)
        with self._grants() as stated:
            # The first one opens the connection and prepares its statements.
            stated.try_out(users[-1])
            return cost_here(stated.engine, partial(stated.add, users[-1]))

    def _at_once(self, heard_of: int, number: int, system: DrainingSystem) -> LoneCost:
        party = parties.grown(parties.UPDATES, 0, f"{heard_of} at once {number}", ahead=1)
        system.at_once(party.heard())
        return system.at_once(party.changes(self._scale.at_once, heard_of=heard_of))

    @contextmanager
    def _grants(self) -> Iterator[BenchGrants]:
        engine = engine_for(self._database, application_name=APPLICATION, pool_size=1)
        try:
            yield BenchGrants(engine)
        finally:
            engine.dispose()
