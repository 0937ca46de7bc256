"""Play a world through a running system: signed requests, Redis, workers and PostgreSQL."""

import io
import json
import shutil
import signal
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any, Final

from sqlalchemy import text

from billing.ids import PartyId
from ops.plans.apply import PlansRollout
from ops.samples.scenario import Event
from ops.samples.worlds import offers
from ops.samples.worlds.truth.evidence import AmbiguousWorldError
from ops.samples.worlds.world import World, draw_plan, play_until
from ops.send.delivery import DeliveryClient
from ops.up.servers.account import temporary_folder
from runtime.ledger.catalogues import CatalogueCache
from runtime.ledger.deployment import ledger_of
from runtime.ledger.maintenance.rebuild import Rebuilder
from runtime.ledger.prepare import Scope
from runtime.ledger.statements import StatedChange
from tests.system.stack_env import StackUnderTest, running_system
from tests.worlds.system.aftermath import (
    outdate,
    read_again,
    rebuild,
    replay_events,
    without_basic,
)
from tests.worlds.system.people import People, statement_differences, wrongly_refused
from tests.worlds.system.rows import (
    EarlierRows,
    earlier_rows,
    parties_since,
    table_differences,
)

CONNECTED: Final = "acct_1Connected"
"""The connected account of those worlds that have one."""

SENDERS: Final = 4
SETTLE_SECONDS: Final = 120.0
LONGEST_LAG: Final = 20.0
"""Seconds that workers may take until what time alone ends is written."""

_STOP_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_DONE: Final = (
    "SELECT count(*) FROM (SELECT id FROM stripe_events WHERE id = ANY(:ids)"
    " UNION SELECT event_id FROM dead_letters WHERE event_id = ANY(:ids)) AS done"
)


@contextmanager
def running_for_worlds() -> Iterator[StackUnderTest]:
    """Run a system that counts every realm of the worlds and has the plans of long ago."""
    folder = temporary_folder("paidup-worlds-")
    try:
        plans = write_plans(folder / "former.toml", offers.FORMER)
        settings = {
            "PAIDUP_PLANS": str(plans),
            "PAIDUP_LIVEMODE": "any",
            "PAIDUP_CONNECT_ACCOUNTS": CONNECTED,
        }
        with running_system(folder / "data", **settings) as system:
            yield system
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class PlayedThrough:
    """A world that was sent: its differences in the end, the rows of before, all that was said."""

    wrong: list[str]
    earlier: EarlierRows
    said: Sequence[StatedChange]


def draw_world(seed: str) -> World | None:
    """Return the world of a seed, ending now; None where the rules leave its end open."""
    try:
        return play_until(draw_plan(seed), int(time.time()))
    except AmbiguousWorldError:
        return None


def play_through(system: StackUnderTest, world: World) -> PlayedThrough:
    """Send a world to a system, and return what its tables have wrong in the end.

    Its events are shuffled and half of them repeated. The plans change and people state what they
    have to say while they come. What people said must stand after all that may come later.
    """
    with system.engine.connect() as connection:
        earlier = earlier_rows(connection)
    random = Random(world.plan.seed)  # noqa: S311 - a failure must repeat
    people = People(ledger_of(system.stack.settings, system.engine), world, random)
    repeated = random.sample(world.events, len(world.events) // 2)
    deliveries = random.sample([*world.events, *repeated], len(world.events) + len(repeated))
    catalogues = [*reversed(world.former), world.document]
    for number, document in enumerate(catalogues):
        apply_plans(system, document)
        outdate(system, _parties(system, earlier))
        with ThreadPoolExecutor(1) as beside:
            saying = beside.submit(people.say_some, len(catalogues) + 1 - number)
            _deliver(system, deliveries[number :: len(catalogues)])
            saying.result()
        read_again(system, _parties(system, earlier), frozenset({CONNECTED}))
    _await_done(system, [event.id for event in world.events])
    people.say_rest()
    wrong = lasting_differences(system, world, earlier, said=people.said)
    with system.engine.connect() as connection:
        wrong += wrongly_refused(connection, people)
    if people.said and not wrong:
        without = without_basic(world)
        apply_plans(system, without.document)
        wrong = [f"while a plan is gone: {each}" for each in _decided(system, without, earlier)]
        _go_on(system, world, earlier)
        found = lasting_differences(system, world, earlier, said=people.said)
        wrong += [f"after all that came later: {each}" for each in found]
    return PlayedThrough(wrong=wrong, earlier=earlier, said=people.said)


def _parties(system: StackUnderTest, earlier: EarlierRows) -> Sequence[PartyId]:
    with system.engine.connect() as connection:
        return parties_since(connection, earlier)


def _decided(system: StackUnderTest, world: World, earlier: EarlierRows) -> list[str]:
    """Return the differences of a world with other plans, or none if the rules leave it open."""
    try:
        return lasting_differences(system, world, earlier)
    except AmbiguousWorldError:
        return []


def _go_on(system: StackUnderTest, world: World, earlier: EarlierRows) -> None:
    """Redeliver, change the plans back, read again, rebuild and replay."""
    parties = _parties(system, earlier)
    _deliver(system, world.events[::2])
    apply_plans(system, world.document)
    outdate(system, parties)
    read_again(system, parties, frozenset({CONNECTED}))
    rebuild(system, parties, frozenset({CONNECTED}))
    replay_events(system, world)


def lasting_differences(
    system: StackUnderTest,
    world: World,
    earlier: EarlierRows,
    *,
    said: Sequence[StatedChange] = (),
    seconds: float = LONGEST_LAG,
) -> list[str]:
    """Return the differences that are still there after a time, or none as soon as none is left."""
    until = time.monotonic() + seconds
    while (found := _differences(system, world, earlier, said)) and time.monotonic() < until:
        time.sleep(0.2)
    return found


def _differences(
    system: StackUnderTest, world: World, earlier: EarlierRows, said: Sequence[StatedChange]
) -> list[str]:
    snapshot = {"isolation_level": "REPEATABLE READ"}
    with system.engine.connect().execution_options(**snapshot) as connection:
        found = table_differences(connection, world, earlier)
        found += statement_differences(connection, said)
        parties = parties_since(connection, earlier)
    return found or _rebuilt_differently(system, parties)


def _rebuilt_differently(system: StackUnderTest, parties: Sequence[PartyId]) -> list[str]:
    """Return what a rebuild of these parties from the stored bodies would change."""
    rebuilder = Rebuilder(
        engine=system.engine,
        catalogues=CatalogueCache(),
        scope=Scope(livemode="any", accounts=frozenset({CONNECTED})),
        actor="worlds",
        reason="a rebuild that writes nothing",
        dry_run=True,
    )
    rebuilt = rebuilder.from_events(parties)
    return [
        *(f"a rebuild would change a row: {decision}" for decision in rebuilt.decisions),
        *(f"{event} states something else when it is read again" for event in rebuilt.restated),
        *(f"a rebuild cannot read {event}: {why}" for event, why in rebuilt.kept.items()),
    ]


def _deliver(system: StackUnderTest, events: Sequence[Event]) -> None:
    with ThreadPoolExecutor(SENDERS) as pool:
        shares = [(system, events[number::SENDERS]) for number in range(SENDERS)]
        refused = [said for some in pool.map(_deliver_all, shares) for said in some]
    assert not refused, refused[:3]


def _deliver_all(share: tuple[StackUnderTest, Sequence[Event]]) -> list[str]:
    system, events = share
    with closing(DeliveryClient(system.endpoint, system.secret)) as client:
        answers = [(event, client.deliver(event.body)) for event in events]
    return [f"{event.id}: {answer.said}" for event, answer in answers if not answer.taken]


def _await_done(system: StackUnderTest, ids: Sequence[str]) -> None:
    """Wait until every event is settled or a dead letter."""
    until = time.monotonic() + SETTLE_SECONDS
    while (done := _done(system, ids)) < len(ids) and time.monotonic() < until:
        system.stack.restart_ended()
        time.sleep(0.02)
    assert done == len(ids), f"{len(ids) - done} of {len(ids)} events are not done in time"


def _done(system: StackUnderTest, ids: Sequence[str]) -> int:
    with system.engine.connect() as connection:
        done: int = connection.execute(text(_DONE), {"ids": list(ids)}).scalar_one()
        return done


def apply_plans(system: StackUnderTest, document: Mapping[str, Any]) -> None:
    """Make a document the catalogue of record, as ``paidup plans apply`` does."""
    path = write_plans(system.stack.data_dir / "applied.toml", document)
    rollout = PlansRollout(
        engine=system.engine,
        actor="worlds",
        reason="the plans of a world",
        as_json=True,
        file=path,
        price_keys={},
        revive=True,
    )
    said = io.StringIO()
    with _own_signals(), redirect_stdout(said):
        code = rollout.run()
    assert code == 0, said.getvalue()


@contextmanager
def _own_signals() -> Iterator[None]:
    """Restore this process's handlers: a rollout sets its own, which only its waits obey."""
    kept = {number: signal.getsignal(number) for number in _STOP_SIGNALS}
    try:
        yield
    finally:
        for number, handler in kept.items():
            signal.signal(number, handler)


def write_plans(path: Path, document: Mapping[str, Any]) -> Path:
    """Write a plans document as TOML."""
    path.write_text("".join(_tables("", document)), encoding="utf-8")
    return path


def _tables(name: str, table: Mapping[str, Any]) -> Iterator[str]:
    """Yield a table of scalars and lists, which TOML writes as JSON does, and those in it."""
    if name:
        yield f"[{name}]\n"
    for key, value in table.items():
        if not isinstance(value, Mapping):
            yield f"{key} = {json.dumps(value)}\n"
    for key, value in table.items():
        if isinstance(value, Mapping):
            yield from _tables(f"{name}.{key}" if name else key, value)
