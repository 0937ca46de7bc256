"""``make bench-search``: measure how long a search takes among a million customers.

    python -m bench.search [--customers N] [--rounds N]

One statement fills each table: every customer has a user, an address, a name and two values of
metadata, one of which all of them have; a thousandth has a dead letter. A search is what
``paidup explain`` and ``paidup dead list`` ask the database to find out whom a text means, about a
random customer. Each round measures every search with the indexes and, in a second session that
is made to use none, without them. Then come the statements that write search terms: those of fifty
customers, as a batch does, known and new ones, each rolled back. Figures are medians.
"""

import random
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Final, NamedTuple

import click
from rich.console import Console
from rich.table import Table
from sqlalchemy import Connection, Engine, text

from bench.machine import prepare, production_postgres
from models.tables import SearchTerm
from ops.queries.dead_letters import OPEN, find_dead_letter_keys
from ops.queries.events import EventFilter
from ops.queries.lookups import look_up
from ops.queries.parties import OWN_REALMS
from ops.up.servers import binaries as server_binaries
from ops.up.servers.postgres_server import Postgres
from runtime.database.deadline import reading_at_length, without_deadline
from runtime.database.engine import engine_for
from runtime.ledger.bulk import insert_rows

WRITTEN_AT_ONCE: Final = 50
"""Customers whose terms one statement writes: those of a batch under load."""

_CUSTOMERS_PER_LETTER: Final = 1000
_ASKED_WITH_INDEXES: Final = 20
_INDEXES: Final = ("enable_indexscan", "enable_indexonlyscan", "enable_bitmapscan")
_FILL: Final = """
INSERT INTO customers (realm, stripe_customer_id, user_id, party)
SELECT 'live', 'cus_' || n, 'usr_' || n, 'live:cus_' || n FROM generate_series(1, {customers}) AS n;

INSERT INTO memberships (object_key, party)
SELECT 'live:cus_' || n, 'live:cus_' || n FROM generate_series(1, {customers}) AS n;

INSERT INTO search_terms (term, kind, object_key, party)
SELECT term, kind, 'live:cus_' || n, 'live:cus_' || n FROM generate_series(1, {customers}) AS n,
LATERAL (VALUES ('user' || n || '@example.com', 'email'), ('customer number ' || n, 'name'),
                ('order ' || n, 'metadata'), ('from the shop', 'metadata')) AS its (term, kind);

INSERT INTO dead_letters
    (event_id, type, payload, error_type, error, attempts, first_failed_at, last_failed_at)
SELECT 'evt_' || n, 'invoice.paid',
       json_build_object('id', 'evt_' || n, 'object', 'event', 'type', 'invoice.paid',
                         'created', 1, 'livemode', true, 'data', json_build_object(
                             'object', json_build_object('customer', 'cus_' || n))),
       'UnreadableEvent', 'it cannot be read', 1, now(), now()
FROM generate_series(1, {customers}, {each}) AS n;

INSERT INTO search_terms (term, kind, object_key, party)
SELECT 'cus_' || n, 'id', 'evt_' || n, 'evt_' || n
FROM generate_series(1, {customers}, {each}) AS n;
"""


class Search(NamedTuple):
    """A search about a customer, which is given by number; ``found`` tells a right answer."""

    name: str
    run: Callable[[Connection, int], object]
    found: Callable[[object, int], bool]


def _meant(text_of: str) -> Callable[[Connection, int], object]:
    return lambda connection, n: look_up(connection, OWN_REALMS, text_of.format(n=n))


def _is_user(lookup: object, number: int) -> bool:
    return getattr(lookup, "users", ()) == (f"usr_{number}",)


def _is_candidate(lookup: object, number: int) -> bool:
    return [each.stripe_id for each in getattr(lookup, "candidates", ())] == [f"cus_{number}"]


def _letters(connection: Connection, number: int) -> object:
    wanted = EventFilter(user=f"usr_{_with_letter(number)}")
    return find_dead_letter_keys(connection, wanted, OPEN)


def _with_letter(number: int) -> int:
    return (number - 1) // _CUSTOMERS_PER_LETTER * _CUSTOMERS_PER_LETTER + 1


SEARCHES: Final = (
    Search("a user id", _meant("usr_{n}"), _is_user),
    Search("an id of Stripe", _meant("cus_{n}"), _is_user),
    Search("an e-mail address", _meant("user{n}@example.com"), _is_user),
    Search("a name", _meant("Customer number {n}"), _is_candidate),
    Search("a value of metadata", _meant("Order {n}"), _is_candidate),
    Search(
        "a value that every customer has",
        _meant("from the shop"),
        lambda lookup, _: bool(getattr(lookup, "more_candidates", False)),
    ),
    Search(
        "the dead letters of a user",
        _letters,
        lambda keys, number: keys == [f"evt_{_with_letter(number)}"],
    ),
)


class Milliseconds(NamedTuple):
    """Medians with the indexes and without them."""

    with_indexes: float
    without: float


def fill(engine: Engine, customers: int) -> None:
    """Fill an empty database."""
    with engine.begin() as connection, reading_at_length(connection):
        filled = _FILL.format(customers=customers, each=_CUSTOMERS_PER_LETTER)
        connection.exec_driver_sql(filled)
    autocommit = engine.connect().execution_options(isolation_level="AUTOCOMMIT")
    with autocommit as connection, without_deadline(connection):
        connection.execute(text("SET statement_timeout = 0"))
        connection.execute(text("VACUUM ANALYZE"))
        connection.execute(text("RESET statement_timeout"))


def search_times(engine: Engine, customers: int, rounds: int) -> dict[str, Milliseconds]:
    """Return the time of each search, measured in turn with the indexes and without them."""
    chance = random.Random(customers)  # noqa: S311 - the same customers in every run
    taken: dict[tuple[str, bool], list[float]] = defaultdict(list)
    # A session of its own for each, because a prepared statement keeps its plan.
    with (
        engine.connect() as usual,
        engine.connect() as without,
        reading_at_length(usual),
        reading_at_length(without),
    ):
        for name in _INDEXES:
            without.execute(text(f"SET LOCAL {name} = off"))
        for _ in range(rounds + 1):
            for search in SEARCHES:
                for connection, asked in ((usual, _ASKED_WITH_INDEXES), (without, 1)):
                    numbers = [chance.randint(1, customers) for _ in range(asked)]
                    times = [_time(search, connection, number) for number in numbers]
                    taken[search.name, connection is usual].append(median(times))
    # The first round plans the statements and reads the pages that every search needs.
    return {
        each.name: Milliseconds(
            median(taken[each.name, True][1:]), median(taken[each.name, False][1:])
        )
        for each in SEARCHES
    }


def _time(search: Search, connection: Connection, number: int) -> float:
    began = time.perf_counter()
    answer = search.run(connection, number)
    taken = (time.perf_counter() - began) * 1000
    if not search.found(answer, number):
        message = f"{search.name} of customer {number} is not found: {answer}"
        raise RuntimeError(message)
    return taken


def write_times(engine: Engine, rounds: int) -> dict[str, float]:
    """Return how long one statement takes to write the terms of fifty customers."""
    taken: dict[str, list[float]] = defaultdict(list)
    with engine.connect() as connection:
        for number in range(rounds + 1):
            for name, first in (("known", 1), ("new", -(number + 1) * WRITTEN_AT_ONCE)):
                rows = [*_terms(first)]
                began = time.perf_counter()
                insert_rows(connection, SearchTerm, rows, conflict="ignore")
                taken[name].append((time.perf_counter() - began) * 1000)
                connection.rollback()
    return {name: median(times[1:]) for name, times in taken.items()}


def _terms(first: int) -> Iterator[Mapping[str, str]]:
    for n in range(first, first + WRITTEN_AT_ONCE):
        key = f"live:cus_{n}"
        for term, kind in (
            (f"user{n}@example.com", "email"),
            (f"customer number {n}", "name"),
            (f"order {n}", "metadata"),
        ):
            yield {"term": term, "kind": kind, "object_key": key, "party": key}


def shown(
    searches: Mapping[str, Milliseconds], empty: Mapping[str, float], full: Mapping[str, float]
) -> Sequence[Table]:
    """Return a table of the searches and one of the writes."""
    found = Table("search for", "ms", "ms without indexes", "times as long")
    for name, (with_indexes, without) in searches.items():
        ratio = f"{without / with_indexes:.0f}"
        found.add_row(name, f"{with_indexes:.2f}", f"{without:.1f}", ratio)
    written = Table(f"write the terms of {WRITTEN_AT_ONCE} customers", "ms", "ms, table empty")
    for name, taken in full.items():
        written.add_row(name, f"{taken:.2f}", f"{empty[name]:.2f}")
    return found, written


@click.command()
@click.option("--customers", type=click.IntRange(1), default=1_000_000, show_default=True)
@click.option("--rounds", type=click.IntRange(1), default=9, show_default=True)
def main(customers: int, rounds: int) -> None:
    """Fill, measure, and print the medians."""
    console = Console(stderr=True)
    with tempfile.TemporaryDirectory(prefix="paidup-bench-") as folder:
        Path(folder).chmod(0o755)  # PostgreSQL below it belongs to another account
        postgres = Postgres(
            Path(folder) / "postgres",
            binaries=production_postgres() or server_binaries.postgres_binaries(),
        )
        postgres.start()
        try:
            prepare(postgres.url)
            engine = engine_for(postgres.url, application_name="paidup bench")
            empty = write_times(engine, rounds)
            console.print(f"filling in {customers:,} customers")
            fill(engine, customers)
            console.print(f"{rounds} rounds")
            searches, full = search_times(engine, customers, rounds), write_times(engine, rounds)
            engine.dispose()
        finally:
            postgres.stop()
    Console().print(*shown(searches, empty, full))


if __name__ == "__main__":
    sys.exit(main())
