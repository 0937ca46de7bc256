"""``make bench-bulk``: measure plans and previews of 100,000 dead letters.

    python -m bench.bulk [--events N] [--seconds N] [--rate N] [--live-seconds N] [--rounds N]

Each purchase of the sample shop is five dead letters of one customer, copied with ids of its own,
and their search terms. Then: how long it takes to make a plan of all, until the first difference of
its preview, the longest step (a stop waits for one at most), what it previews in a second, and how
long a stop takes. At last: what live events cost beside that preview. Exits 1 if the worker takes
more than 1.1 times what it takes for them without one.
"""

import re
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Final, NamedTuple

import click
import psycopg
from rich.console import Console
from rich.table import Table
from sqlalchemy import Engine

from bench import beside_preview
from bench.beside_preview import LiveRound, LiveScale, LiveTraffic
from bench.machine import BenchMachine, machine, prepare
from billing.envelope import parse
from billing.readers.search_terms import named_in
from ops.bulk import control
from ops.bulk.plans import REPLAY, PlanRequest, list_plans, make_plan
from ops.bulk.stored_preview import StoredPreview
from ops.bulk.targets import Selection
from ops.queries.events import EventFilter
from ops.queries.parties import OWN_REALMS
from ops.samples.api_shapes import Shape
from ops.samples.lifecycles.registry import compose
from runtime.database.engine import engine_for
from runtime.settings import Settings

_EVENTS_OF_PURCHASE: Final = 5
_USER: Final = "usr_bench"
_NOW: Final = datetime(2026, 11, 1, tzinfo=UTC)
_LETTERS: Final = (
    "COPY dead_letters (event_id, type, payload, error_type, error, attempts, first_failed_at,"
    " last_failed_at) FROM STDIN"
)
_TERMS: Final = "COPY search_terms (term, kind, object_key, party) FROM STDIN"
_ID: Final = re.compile(r'"((?:evt|cus|pi|ch|cs|txn|pm|re)_[A-Za-z0-9_]+)"')


class PreviewSeconds(NamedTuple):
    """Seconds, and what was previewed in a second."""

    plan: float
    first: float
    longest_step: float
    stop: float
    rate: float


def purchases(number: int) -> Iterator[list[bytes]]:
    """Yield the bodies of a purchase, each time of another customer."""
    now = int(_NOW.timestamp())
    made = compose("onetime", shape=Shape.NEW, seed="bench", now=now, user_id=_USER)
    bodies = [event.body.decode() for event in made.events]
    ids = sorted({each for body in bodies for each in _ID.findall(body)}, key=len, reverse=True)
    any_id = re.compile("|".join(map(re.escape, [*ids, _USER])))
    for each in range(number):
        yield [any_id.sub(rf"\g<0>x{each}", body).encode() for body in bodies]


def fill(url: str, events: int) -> None:
    """Fill an empty database with dead letters."""
    terms: list[tuple[str, str, str, str]] = []
    with psycopg.connect(url) as connection, connection.cursor() as cursor:
        cursor.execute("SET statement_timeout = 0")
        with cursor.copy(_LETTERS) as letters:
            for bodies in purchases(events // _EVENTS_OF_PURCHASE):
                for envelope in map(parse, bodies):
                    key, body = envelope.event_id, envelope.body.decode()
                    error = ("UnreadableEvent", "it cannot be read", 1, _NOW, _NOW)
                    letters.write_row((key, envelope.type, body, *error))
                    terms += [(each.lower(), "id", key, key) for each in named_in(envelope).ids]
        with cursor.copy(_TERMS) as copied:
            for term in dict.fromkeys(terms):
                copied.write_row(term)
        connection.commit()
        cursor.execute("ANALYZE")


def measure(engine: Engine, seconds: float) -> PreviewSeconds:
    """Make a plan of everything, preview it for some seconds, and stop."""
    everything = Selection(ids=(), wanted=EventFilter())
    request = PlanRequest(
        action=REPLAY, actor="bench", reason="bench", selection=everything, realms=OWN_REALMS
    )
    began = time.monotonic()
    plan = make_plan(engine, request).result
    made = time.monotonic()
    control.start_preview(engine, plan)
    stored = StoredPreview(settings=Settings.from_env({}), engine=engine, inbox=None)
    steps, times, first = stored.stream(plan), [time.monotonic()], 0.0
    for differences in steps:
        times.append(time.monotonic())
        first = first or (times[-1] - made if differences else 0.0)
        if first and times[-1] - made > seconds:
            break
    with engine.connect() as connection:
        query = "SELECT previewed FROM bulk_plans"
        previewed = connection.exec_driver_sql(query).scalar_one()
    control.stop_preview(engine, plan)
    stopping = time.monotonic()
    for _ in steps:
        pass
    return PreviewSeconds(
        plan=made - began,
        first=first,
        longest_step=max(after - before for before, after in pairwise(times)),
        stop=time.monotonic() - stopping,
        rate=previewed / (times[-1] - made),
    )


def shown(events: int, measured: PreviewSeconds) -> Sequence[Table]:
    """Return the table of the figures."""
    table = Table(f"{events:,} dead letters", "seconds")
    table.add_row("make a plan of all", f"{measured.plan:.2f}")
    table.add_row("first difference of its preview", f"{measured.first:.2f}")
    table.add_row("longest step", f"{measured.longest_step:.2f}")
    table.add_row("stop", f"{measured.stop:.2f}")
    table.add_row("events previewed in a second", f"{measured.rate:.0f}")
    return (table,)


def measure_live(
    servers: BenchMachine, database: str, engine: Engine, scale: LiveScale
) -> list[LiveRound]:
    """Measure live events beside the preview of the newest plan, which is not previewed now."""
    with engine.connect() as connection:
        plan = list_plans(connection, limit=1)[0].id
    with servers.stack(database, 1) as running:
        live = LiveTraffic(servers, running, engine, plan, scale)
        return beside_preview.by_turns(scale.rounds, live.alone, live.beside)


@click.command()
@click.option("--events", type=click.IntRange(5), default=100_000, show_default=True)
@click.option("--seconds", type=click.FloatRange(1), default=20.0, show_default=True)
@click.option("--rate", type=click.IntRange(1), default=200, show_default=True)
@click.option("--live-seconds", type=click.IntRange(1), default=20, show_default=True)
@click.option("--rounds", type=click.IntRange(1), default=5, show_default=True)
def main(*, events: int, seconds: float, rate: int, live_seconds: int, rounds: int) -> None:
    """Fill, measure, print, and exit 1 if live events cost too much beside a preview."""
    console = Console(stderr=True)
    scale = LiveScale(rate=rate, seconds=live_seconds, rounds=rounds)
    with tempfile.TemporaryDirectory(prefix="paidup-bench-") as folder:
        Path(folder).chmod(0o755)  # PostgreSQL below it belongs to another account
        with machine(Path(folder)) as servers:
            database = servers.database("bulk")
            prepare(database)
            console.print(f"filling in {events:,} dead letters")
            fill(database, events)
            engine = engine_for(database, application_name="paidup bench")
            measured = measure(engine, seconds)
            console.print(f"sending {rate} live events a second, {rounds} rounds and one before")
            live = measure_live(servers, database, engine, scale)
            engine.dispose()
    Console().print(*shown(events, measured), beside_preview.shown(scale, live))
    sys.exit(0 if beside_preview.is_good(live) else 1)


if __name__ == "__main__":
    main()
