"""Two databases hear one course of deliveries; one archives whatever may go, the other nothing."""

import json
import os
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import count, islice
from math import inf
from random import Random
from typing import Any, Final

import pytest
from sqlalchemy import Engine

from billing.archiving.leaving import NoteKind
from billing.envelope import Envelope
from billing.fetching.observations import Observations
from billing.ids import EventId, PartyId
from billing.projection.party import project
from billing.readers import registry
from billing.readers.registry import IgnoredReason, Reading
from models.tables import metadata
from ops.samples.worlds.world import World
from runtime.ledger import catalogues, decide, prepare, statements
from runtime.ledger.admit import Opening, open_transaction
from runtime.ledger.catalogues import CatalogueCache, current_catalogue
from runtime.ledger.deliveries import Delivery
from runtime.ledger.errors import StatementRefused
from runtime.ledger.load import load_without_archives
from runtime.ledger.maintenance import archive_updates, rebuild, reproject
from runtime.ledger.maintenance.archive_updates import ArchiveUpdates
from runtime.ledger.maintenance.rebuild import Rebuilder
from runtime.ledger.notes import NOTES
from runtime.ledger.prepare import Scope
from runtime.ledger.record import Ledger
from runtime.ledger.rows import TableName, rows_of
from runtime.ledger.statements import EndStatement, NewStatement
from tests.runtime.ledger.delivery_builders import VOLATILE, customer, delivery, event, rows
from tests.runtime.ledger.long_pasts import created, repeated
from tests.runtime.ledger.party_in_memory import archiving_above
from tests.worlds.adapter import StatedSubject, catalogue_of, subjects_of
from tests.worlds.drawing import world_of

pytestmark = pytest.mark.servers

FULL: Final = bool(os.environ.get("PAIDUP_TEST_FULL"))
SEEDS: Final = 200 if FULL else 3
CONNECTED: Final = frozenset({"acct_1Connected"})

OF_ARCHIVES: Final = {"archive", "archived_until", "dependencies", "waiting", *NoteKind}
"""Columns that tell what is archived, and notes, which may be; all else must be the same."""

FOLLOWING: Final = ("facts", "memberships", "parties", "notes", *TableName)
"""Tables whose rows follow from facts and time alone, however many steps lead to them."""

BOOKED: Final = (
    "SELECT realm, payment_ref, user_id, sum(amount_minor) AS amount FROM payment_events"
    " GROUP BY 1, 2, 3 HAVING sum(amount_minor) <> 0"
)
"""What is booked of each payment for each user, however often it moved."""

MadeEngine = Callable[[str], Engine]
Work = Callable[["Side"], object]


@dataclass(kw_only=True)
class CourseTime:
    """The time of a course, and the events of which readers make nothing by now."""

    now: datetime
    ignored: set[EventId] = field(default_factory=set)

    def open_transaction(self, *args: Any, **given: Any) -> Opening:
        """Open a transaction at this time."""
        return replace(open_transaction(*args, **given), now=self.now)

    def under_locks(self, _: object) -> datetime:
        """Return this time."""
        return self.now

    def read(self, envelope: Envelope, observations: Observations | None = None) -> Reading:
        """Read an event as the present readers do."""
        if envelope.event_id in self.ignored:
            return Reading(facts=(), ignored=IgnoredReason.NOTHING_STATED)
        return registry.read_event(envelope, observations)


@dataclass(frozen=True, kw_only=True)
class Side:
    """One of the two databases."""

    engine: Engine
    ledger: Ledger
    above: int
    plans: CatalogueCache = field(default_factory=CatalogueCache)

    def parties(self) -> list[PartyId]:
        """Return every party of this database."""
        return rows(self.engine, "SELECT party FROM parties ORDER BY party")


@dataclass(kw_only=True)
class Courses:
    """Does everything in both databases, and compares them."""

    sides: tuple[Side, Side]
    course: CourseTime
    random: Random
    kept: int
    in_steps: bool

    def both(self, work: Work) -> None:
        """Do the same in both; what comes of it must be the same as well, at once or in steps."""
        found = []
        for side in self.sides:
            with self._archiving(side):
                found.append(work(side))
        assert self.in_steps or found[0] == found[1]

    def _archiving(self, side: Side) -> AbstractContextManager[None]:
        long_past = 0 if self.in_steps else 10**9
        return archiving_above(side.above, kept=self.kept, long_past=long_past)

    def step(self) -> int | None:
        """Do a step of a change that the archives follow in steps, if there is one."""
        side = self.sides[0]
        with self._archiving(side):
            return ArchiveUpdates(engine=side.engine, catalogues=side.plans).do_next()

    def deliver(self, deliveries: Sequence[Delivery]) -> None:
        """Record a batch."""
        moments = [each.envelope.created_at for each in deliveries]
        self.course.now = max(self.course.now, *moments)
        self.both(lambda side: _record(side, deliveries))

    def have_stated(self, new: NewStatement | EndStatement) -> None:
        """Record what a person states, if it can be stated."""
        self.both(lambda side: _said(side, new))

    def change_plans(self, document: Any) -> None:
        """Put other plans in force; rows follow party by party."""
        self.both(lambda side: _change_plans(side, document))

    def project_all(self) -> None:
        """Project every party, as after a change of plans."""
        self.both(_project_all)

    def project_due(self) -> None:
        """Project what time has changed."""
        self.both(lambda side: reproject.project_due(side.engine, side.plans, 10_000) and None)

    def compare(self) -> None:
        """Compare all tables, or those of which no row tells by which steps it came about."""
        archiving, whole = (contents(side.engine) for side in self.sides)
        for table in FOLLOWING if self.in_steps else whole:
            expected = whole[table]
            assert archiving[table] == expected, _different(archiving[table], expected)
        found, booked = (_rows_of(side.engine, BOOKED) for side in self.sides)
        assert found == booked, _different(found, booked)

    def compare_loaded(self) -> None:
        """Compare each row that is in no archive with the facts that are in none."""
        self.project_all()
        while self.step():
            pass
        self.compare()
        for side in self.sides:
            assert differences(side, self.course.now) == []


def _record(side: Side, deliveries: Sequence[Delivery]) -> list[object]:
    """Record a batch, the rest of it again as long as there was no time to decide it."""
    waiting, settled = list(deliveries), []
    while waiting:
        for each in side.ledger.record(waiting):
            settled.append(each)
            waiting.remove(next(one for one in waiting if one.key == each.key))
    return [
        (each.key, each.outcome, each.reason, each.hit, dict(each.changes), each.pending_fetches)
        for each in sorted(settled, key=lambda each: (each.key, each.hit))
    ]


def _said(side: Side, new: NewStatement | EndStatement) -> object:
    try:
        side.ledger.transact(lambda connection: side.ledger.state(connection, [new]))
    except StatementRefused as refused:
        return str(refused)
    return None


def _change_plans(side: Side, document: Any) -> int:
    with side.engine.begin() as connection:
        return catalogues.install(
            connection, catalogue_of(document, ()), actor="ada", reason="other plans"
        )


def _project_all(side: Side) -> int:
    given = {"actor": "ada", "reason": "other plans"}
    return reproject.reproject(side.engine, side.plans, side.parties(), **given)


def contents(engine: Engine) -> dict[str, Counter[str]]:
    """Return the rows of all tables, but for archives and the order of the history."""
    ignored = {**VOLATILE, "audit_logs": {"id", "occurred_at", "version"}}
    left_out = {"archive_keys", "archive_notes", "waiting_changes", "numbered_changes"}
    tables = {
        table: _contents(engine, table, ignored.get(table, set()) | OF_ARCHIVES)
        for table in sorted(metadata.tables.keys() - left_out - {"catalogues"})
    }
    return {**tables, "notes": _rows_of(engine, f"SELECT * FROM {NOTES}")}  # noqa: S608


def _contents(engine: Engine, table: str, ignored: Collection[str]) -> Counter[str]:
    columns = [each.name for each in metadata.tables[table].columns if each.name not in ignored]
    return _rows_of(engine, f"SELECT {', '.join(columns)} FROM {table}")  # noqa: S608


def _rows_of(engine: Engine, query: str) -> Counter[str]:
    found = rows(engine, f"SELECT to_jsonb(t) FROM ({query}) AS t")  # noqa: S608 - our own words
    return Counter(json.dumps(row, sort_keys=True) for row in found)


def _different(found: Counter[str], expected: Counter[str]) -> str:
    lines = [f"- {each}" for each in sorted((expected - found).elements())]
    return "\n".join([*lines, *(f"+ {each}" for each in sorted((found - expected).elements()))])


def differences(side: Side, now: datetime) -> list[object]:
    """Return the loaded rows that do not follow from the loaded facts, and what a rebuild finds."""
    wrong: list[object] = []
    with side.engine.connect() as connection:
        plans = current_catalogue(connection)
        for party, stored in load_without_archives(connection, side.parties()).items():
            expected = rows_of(project(stored.facts, plans.catalogue, now))
            wrong += [(party, t) for t, found in stored.rows.items() if found != expected[t]]
    rebuilder = Rebuilder(
        engine=side.engine,
        catalogues=CatalogueCache(),
        scope=Scope(livemode="any", accounts=CONNECTED),
        actor="ada",
        reason=None,
        dry_run=True,
    )
    return wrong + rebuilder.from_facts(side.parties()).decisions


@pytest.fixture
def start(another_engine: MadeEngine, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Courses]:
    """Begin a course of a seed in two new databases."""

    def begin(seed: str, now: datetime, *, in_steps: bool = False) -> Courses:
        course, random = CourseTime(now=now), Random(seed)  # noqa: S311 - a failure must repeat
        for module in (decide, statements, reproject):
            monkeypatch.setattr(module, "open_transaction", course.open_transaction)
        for module in (reproject, rebuild, archive_updates):
            monkeypatch.setattr(module, "time_under_locks", course.under_locks)
        monkeypatch.setattr(prepare, "read_event", course.read)
        above = random.choice([3, 6, 12])
        names = seed.replace("/", "_")
        sides = (
            _side(another_engine(f"archiving_{names}"), above, random.choice([inf, 2.5])),
            _side(another_engine(f"whole_{names}"), 10**9, inf),
        )
        kept = random.choice([1, 2])
        return Courses(sides=sides, course=course, random=random, kept=kept, in_steps=in_steps)

    return begin


def _side(engine: Engine, above: int, ticks: float) -> Side:
    """Return a side that has the time to decide so many events of a batch."""
    ledger = Ledger(
        engine,
        livemode="any",
        accounts=CONNECTED,
        deciding_seconds=ticks,
        clock=map(float, count()).__next__,
    )
    return Side(engine=engine, ledger=ledger, above=above)


def drawn_worlds() -> Iterator[World]:
    """Yield worlds, one after another."""
    number = 0
    while True:
        world = world_of(f"courses/{number}", Counter())
        number += 1
        if world and world.events:
            yield world


@pytest.mark.parametrize("number", range(SEEDS))
@pytest.mark.parametrize("in_steps", [False, True], ids=["at once", "in steps"])
def test_a_course_ends_as_without_archives(
    number: int, start: Callable[..., Courses], *, in_steps: bool
) -> None:
    world = next(islice(drawn_worlds(), number, None))
    random = Random(world.plan.seed)  # noqa: S311 - a failure must repeat
    events = arriving(world, random)
    first = min(each.envelope.created_at for each in events)
    now = random.choice([first, datetime.fromtimestamp(world.now, UTC)])
    courses = start(world.plan.seed, now, in_steps=in_steps)
    courses.change_plans(world.document)
    words = statements_in(world, random)
    place = 0
    while place < len(events):
        batch = events[place : place + random.choice([1, 1, 2, 7])]
        place += len(batch)
        courses.deliver(batch)
        something_else(courses, events[:place], words, world)
        if in_steps and random.random() < 0.5:
            courses.step()
    for new in words:
        courses.have_stated(new)
    courses.course.now = max(courses.course.now, datetime.fromtimestamp(world.now, UTC))
    courses.project_due()
    courses.compare_loaded()


def arriving(world: World, random: Random) -> list[Delivery]:
    """Return deliveries of a world and of a past like it, some of them late, some twice."""
    late = random.choice([0, 3000, 10**9])
    bodies = repeated(world, random)
    bodies += random.sample(bodies, len(bodies) // 10)
    moments = [(created(each) + random.random() * late, each) for each in bodies]
    return [delivery(each) for _, each in sorted(moments)]


def statements_in(world: World, random: Random) -> list[NewStatement | EndStatement]:
    """Return what people of a world say, in any order."""
    subjects = [each for account in world.accounts for each in subjects_of(account)]
    random.shuffle(subjects)
    return [new for each in subjects for new in _statements(each)]


def _statements(stated: StatedSubject) -> Iterable[NewStatement | EndStatement]:
    said = {"actor": "cli:ada", "reason": "as a world says"}
    subject = stated.subject
    yield NewStatement(id=EventId(f"op_{subject.id}"), subject=subject, **said)
    if stated.ended_at is not None:
        yield EndStatement(id=EventId(f"op_end_{subject.id}"), subject=subject.id, **said)


def another_user(named: Envelope, courses: Courses) -> Delivery:
    """Return an event that gives the customer of an event another user, which moves its past."""
    user = courses.random.choice(["usr_1", "usr_2"])
    changed = customer(named.customer_id or "cus_1", user)
    at = int(courses.course.now.timestamp())
    given = {"account": named.account} if named.account else {}
    return delivery(event("customer.updated", changed, at=at, livemode=named.livemode, **given))


def something_else(
    courses: Courses,
    delivered: Sequence[Delivery],
    words: list[NewStatement | EndStatement],
    world: World,
) -> None:
    """Do what may happen between two batches, mostly nothing."""
    random, course = courses.random, courses.course
    again = replace(
        random.choice(delivered), origin="replay", actor="ada", reason="a reader was mended"
    )
    match random.randrange(24):
        case 0 | 1:
            courses.deliver([again])
        case 2:
            course.ignored ^= {again.envelope.event_id}
            courses.deliver([again])
        case 3:
            courses.deliver(random.sample(delivered, min(5, len(delivered))))
        case 4 | 5 if words:
            courses.have_stated(words.pop(0))
        case 6:
            courses.project_due()
        case 7:
            courses.change_plans(random.choice([world.document, *world.former]))
        case 8:
            courses.compare_loaded()
        case 9 | 10 | 11:
            courses.deliver([another_user(again.envelope, courses)])
        case _:
            pass
