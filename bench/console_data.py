"""Fill a database for measurements of the console: a million events, with all that follows.

The ledger records a few sample lifecycles. Then COPY writes their rows again and again, each time
with other ids and at a later time, so that every page finds rows that belong together. The dead
letters are about users among them and failed in a dozen ways.
"""

import json
import random
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from math import inf
from typing import Any, Final, NamedTuple

import psycopg
from psycopg import sql
from sqlalchemy import Engine

from bench.past import analyze
from bench.rows import Connection, Table, tables
from ops.samples.api_shapes import Shape
from ops.samples.lifecycles.registry import SCENARIOS, compose
from runtime.database.engine import engine_for
from runtime.failures.rehearsal import make_delivery
from runtime.ledger.record import Ledger

USERS: Final = 200_000
LETTERS: Final = 100_000
DAYS: Final = 180
"""The time over which the copies are spread, up to now."""

_WHOLE: Final = 1000
_LENGTHS: Final = {"onetime": (1, 5), "renewal": (10, 33)}
"""The lengths to which these lifecycles are cut: many customers only sign up."""

_SHARES: Final = {("onetime", 1): 50, ("onetime", 5): 32, ("renewal", 10): 6, ("renewal", 33): 5}
"""The share of users in percent who have such a lifecycle; the rest have one of the others."""

_KEPT: Final = 6
_TOKEN: Final = 4
"""The characters of an id that stay, and those after them that a copy replaces."""

_DIGITS: Final = "0123456789abcdefghijklmnopqrstuvwxyz"
_FIRST_TOKEN: Final = 36**3  # lower ones are those of the recorded lifecycles
_USER: Final = "usr_Zq7Zq7000"
_LINES_AT_ONCE: Final = 1000
_HOLES: Final = re.compile(
    rb"((?<=_)(?=[a-z]*[A-Z0-9])[A-Za-z0-9]{10}"
    rb"|\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(?:\.\d{1,6})?(?:\+00(?::00)?|Z))"
)
"""The first characters of an id, and a time."""

_FIRST_TIME: Final = b"2000"
"""Earlier times stand for none."""

_OBJECT: Final = re.compile(rb"(?:cus|cs|pi)_\w{10,}")

_ERRORS: Final = (
    ("UnreadableEvent", "data.object.customer is missing"),
    ("UnreadableEvent", "data.object.lines of in_{id} is no list"),
    ("MalformedEvent", "its body is no JSON: line 1, column {n}"),
    ("AttemptsUsedUp", "tried 12 times; last error: deadlock detected in process {n}"),
    ("WorkerDied", "the worker process {n} died while it applied the event"),
    ("ConflictingEvent", "another body has the id evt_{id}"),
)
_TYPES: Final = ("invoice.paid", "charge.refunded", "customer.subscription.updated")


_LETTERS: Final = (
    "COPY dead_letters (event_id, type, payload, error_type, error, attempts, received_at,"
    " first_failed_at, last_failed_at, state, resolved_at, resolved_by, reason, history) FROM STDIN"
)
_TERMS: Final = "COPY search_terms (term, kind, object_key, party) FROM STDIN"
_REST: Final = (
    # A supervisor may number changes meanwhile: it waits, and those it has numbered stay.
    b"LOCK TABLE numbered_changes IN EXCLUSIVE MODE",
    b"""
    INSERT INTO numbered_changes (cursor, audit_id)
    SELECT (SELECT coalesce(max(cursor), 0) FROM numbered_changes)
           + row_number() OVER (ORDER BY id), id
    FROM audit_logs
    WHERE starts_with(action, 'entitlement.')
    AND NOT EXISTS (SELECT FROM numbered_changes WHERE audit_id = audit_logs.id)
    """,
    b"DELETE FROM waiting_changes",
    b"""
    INSERT INTO audit_logs (occurred_at, actor, action, outcome, origin, target_type, target_id,
                            event_id)
    SELECT last_failed_at, 'paidup', 'dead_letter.buried', 'done', 'stripe', 'dead_letter',
           event_id, event_id FROM dead_letters ORDER BY last_failed_at
    """,
    b"""
    INSERT INTO operator_statements (id, kind, subject, realm, user_id, says, actor, reason,
                                     made_at)
    SELECT 'op_' || md5(user_id), 'grant', 'grant_' || md5(user_id), 'any', user_id,
           jsonb_build_object('plan_code', NULL, 'per_seat', '[]'::jsonb,
                              'features', jsonb_build_object('max_devices', 5),
                              'starts_at', changed_at, 'until', changed_at + interval '1 year'),
           'cli:bench', 'goodwill', changed_at FROM user_versions ORDER BY user_id LIMIT 2000
    """,
    b"""
    INSERT INTO operator_statements (id, kind, subject, realm, user_id, target, says, actor, reason,
                                     made_at)
    SELECT 'op_' || md5(stripe_customer_id), 'link', 'link_' || md5(stripe_customer_id), realm,
           user_id, stripe_customer_id, '{}', 'cli:bench', 'said so', now()
    FROM customers WHERE user_id IS NOT NULL ORDER BY stripe_customer_id LIMIT 200
    """,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    """A recorded lifecycle: the rows of each table as lines of COPY, cut at ids and times."""

    customer: bytes
    lines: Mapping[str, Sequence[Sequence[bytes]]]

    def copied(self, table: str, token: bytes, shift: timedelta) -> Iterator[bytes]:
        """Yield the lines of a table with other ids, and at other times."""
        times: dict[bytes, bytes] = {}
        for pieces in self.lines.get(table, ()):
            line = [*pieces]
            for place in range(1, len(line), 2):
                hole = line[place]
                if hole[4:5] != b"-":
                    line[place] = hole[:_KEPT] + token
                elif hole in times:
                    line[place] = times[hole]
                else:
                    line[place] = times[hole] = _shifted(hole, shift)
            yield b"".join(line)


@dataclass(frozen=True, slots=True, kw_only=True)
class Copy:
    """One copy of a template: ``token`` makes its ids, and ``shift`` its times."""

    template: Template
    token: bytes
    shift: timedelta


def fill(
    url: str, *, users: int = USERS, letters: int = LETTERS, say: Callable[[str], None]
) -> None:
    """Fill a database that has the sample plans and nothing else."""
    chance = random.Random(users)  # noqa: S311 - the same rows in every run
    say("recording lifecycles")
    copies = _copies(record_templates(url), users, chance)
    with psycopg.connect(url) as connection:
        for table in tables(url):
            if any(table.name in each.template.lines for each in copies):
                say(f"filling {table.name}")
                _copy(connection, table.name, table.columns, _lines(table.name, copies))
        say("filling dead_letters")
        _write_letters(connection, copies, letters, chance)
        for statement in _REST:
            connection.execute(statement)
    say("looking at the tables")
    analyze(url)


def record_templates(url: str) -> dict[tuple[str, int], Template]:
    """Record each lifecycle, and return its rows by its name and length."""
    engine = engine_for(url, application_name="paidup bench")
    found: dict[tuple[str, int], Template] = {}
    before = _all_rows(url)
    for number, (name, length) in enumerate(_lifecycles()):
        _record(engine, name, length, user=f"{_USER}{_DIGITS[number]}", seed=str(number))
        after = _all_rows(url)
        lines = {
            table: [_HOLES.split(row) for row in rows if row not in before[table]]
            for table, rows in after.items()
        }
        stated = b"".join(piece for row in lines["facts"] for piece in row)
        found[name, length] = Template(
            customer=_OBJECT.findall(stated)[0],
            lines={table: rows for table, rows in lines.items() if rows},
        )
        before = after
    engine.dispose()
    return found


def _lifecycles() -> Iterator[tuple[str, int]]:
    for name in SCENARIOS:
        for length in _LENGTHS.get(name, (_WHOLE,)):
            yield name, length


def _record(engine: Engine, name: str, length: int, *, user: str, seed: str) -> None:
    now = int(datetime.now(UTC).timestamp())
    events = compose(name, shape=Shape.NEW, seed=seed, now=now, user_id=user).events
    ledger = Ledger(engine, livemode="any", accounts=frozenset(), deciding_seconds=inf)
    ledger.record([make_delivery(each.body) for each in events[:length]])


def _all_rows(url: str) -> dict[str, dict[bytes, None]]:
    """Return the rows of each table as lines of COPY, in their order."""
    with psycopg.connect(url) as connection:
        return {each.name: dict.fromkeys(_rows(connection, each)) for each in tables(url)}


def _rows(connection: Connection, table: Table) -> list[bytes]:
    query = sql.SQL("COPY {} ({}) TO STDOUT").format(
        sql.Identifier(table.name), sql.SQL(", ").join(map(sql.Identifier, table.columns))
    )
    with connection.cursor().copy(query) as source:
        return b"".join(bytes(part) for part in source).splitlines(keepends=True)


def _copies(
    templates: Mapping[tuple[str, int], Template], users: int, chance: random.Random
) -> list[Copy]:
    """Return the copies, the oldest first."""
    others = [each for each in templates if each not in _SHARES]
    rest = (100 - sum(_SHARES.values())) / len(others)
    weights = [_SHARES.get(each, rest) for each in templates]
    chosen = chance.choices([*templates.values()], weights, k=users)
    step = timedelta(days=DAYS) / users
    return [
        Copy(template=each, token=_token(_FIRST_TOKEN + number), shift=(number - users) * step)
        for number, each in enumerate(chosen, start=1)
    ]


def _token(number: int) -> bytes:
    """Return a number as four digits and letters."""
    digits = ""
    for _ in range(_TOKEN):
        number, digit = divmod(number, len(_DIGITS))
        digits = _DIGITS[digit] + digits
    return digits.encode()


def _shifted(time: bytes, shift: timedelta) -> bytes:
    if time < _FIRST_TIME:
        return time
    separator = "T" if b"T" in time else " "
    return (datetime.fromisoformat(time.decode()) + shift).isoformat(separator).encode()


def _lines(table: str, copies: Iterable[Copy]) -> Iterator[bytes]:
    for each in copies:
        yield from each.template.copied(table, each.token, each.shift)


def _copy(
    connection: Connection, table: str, columns: Sequence[str], lines: Iterable[bytes]
) -> None:
    query = sql.SQL("COPY {} ({}) FROM STDIN").format(
        sql.Identifier(table), sql.SQL(", ").join(map(sql.Identifier, columns))
    )
    with connection.cursor().copy(query) as target:
        rest = iter(lines)
        while some := b"".join(islice(rest, _LINES_AT_ONCE)):
            target.write(some)


def _write_letters(
    connection: Connection, copies: Sequence[Copy], letters: int, chance: random.Random
) -> None:
    """Write dead letters about users of copies, and the terms by which they are found."""
    drawn = [_letter(number, chance.choice(copies), chance) for number in range(letters)]
    with connection.cursor().copy(_LETTERS.encode()) as target:
        for each in drawn:
            target.write_row(each.row)
    with connection.cursor().copy(_TERMS.encode()) as target:
        for each in drawn:
            for kind, term in (("id", each.customer), ("user", each.user)):
                target.write_row((term.lower(), kind, each.key, each.key))


class _Letter(NamedTuple):
    """A dead letter, and what it names."""

    key: str
    customer: str
    user: str
    row: tuple[Any, ...]


def _letter(number: int, about: Copy, chance: random.Random) -> _Letter:
    customer = _HOLES.sub(lambda its: its[0][:_KEPT] + about.token, about.template.customer)
    named, user = customer.decode(), f"{_USER[:-3]}{about.token.decode()}"
    key = f"evt_Dead{chance.randrange(16**16):016x}"
    error_type, error = _ERRORS[int(len(_ERRORS) * chance.random() ** 2)]
    kind = _TYPES[int(len(_TYPES) * chance.random() ** 2)]
    failed = datetime.now(UTC).replace(microsecond=0) + about.shift
    state = chance.choices(("open", "discarded", "replayed"), (8, 1, 1))[0]
    end = (None, None, None) if state == "open" else (failed, "cli:bench", "as the bench draws it")
    stated = {"object": "invoice", "customer": named, "metadata": {"user_id": user}}
    event = {"id": key, "object": "event", "type": kind, "created": int(failed.timestamp())}
    payload = json.dumps({**event, "livemode": True, "data": {"object": stated}})
    said = error.format(id=f"{number:06d}", n=number)
    when = (failed, failed, failed + timedelta(seconds=60))
    return _Letter(
        key, named, user, (key, kind, payload, error_type, said, 12, *when, state, *end, "[]")
    )
