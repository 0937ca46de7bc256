"""``make bench-read``: measure how fast the read API answers with a million users.

    python -m bench.read_api [--users N] [--rate N] [--seconds N] [--rounds N]

The stack is the one of ``paidup up``, with the shipped console and one token. COPY fills the
tables: for each user a customer, a subscription, a payment, an entitlement and the event that
decided it, whose body is 1 kB; a tenth has two. Every request asks about a random user, on one of
32 connections that stay open, at a pace that waits for no answer. Latency counts from the time a
request was due. After each round the same server gets requests at the same pace that need no
database; they show the share of server, generator and machine. Exits 1 if the median of the 99th
percentiles is not below 10 ms.
"""

import os
import random
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any, Final, NamedTuple

import click
import psycopg
from psycopg.types.json import Jsonb
from rich.console import Console
from rich.table import Table

from bench import load
from ops.up.stack import Stack
from runtime.settings import required

HOST: Final = "127.0.0.1"
CONNECTIONS: Final = 32
GOAL_MS: Final = 10.0
_AT: Final = datetime(2026, 11, 1, tzinfo=UTC)
_BODY: Final = '{"id": "evt_1", "padding": "' + "x" * 1000 + '"}'
_FEATURES: Final = {"signals_enabled": True, "max_devices": 5}
_NO_DATABASE: Final = b"GET /healthz HTTP/1.1\r\nHost: bench\r\n\r\n"
_WARMING_SECONDS: Final = 5
_STRANGERS: Final = 0.02
"""The share of requests about unknown users, which look into every table."""

Rows = Iterator[tuple[Any, ...]]


def _owned(users: int) -> Iterator[tuple[int, int]]:
    """Return numbers of grants with the number of their user; every tenth user has two."""
    yield from ((number, number) for number in range(users))
    yield from ((users + number, number) for number in range(0, users, 10))


def _customers(users: int) -> Rows:
    return (("live", f"cus_{n}", f"usr_{n}", f"live:cus_{n}") for n in range(users))


def _subscriptions(users: int) -> Rows:
    for n, user in _owned(users):
        names = (f"sub_{n}", f"cus_{user}", f"usr_{user}")
        yield ("live", *names, "active", ["price_1"], _AT, False, _AT, f"live:cus_{user}")


def _payments(users: int) -> Rows:
    for n, user in _owned(users):
        names = (f"pi_{n}", f"usr_{user}", f"cus_{user}")
        stands = (2999, 0, "usd", "succeeded", False, False, _AT, f"live:cus_{user}")
        yield ("live", *names, *stands)


def _entitlements(users: int) -> Rows:
    features = Jsonb(_FEATURES)
    for n, user in _owned(users):
        names = (f"usr_{user}", f"sub_{n}", "premium", "live")
        why = (f"evt_{n}", "It is active.", False, 1, f"live:cus_{user}")
        yield (*names, features, list[str](), True, _AT, *why)


def _versions(users: int) -> Rows:
    return ((f"usr_{n}", 1, _AT) for n in range(users))


def _events(users: int) -> Rows:
    for n, _ in _owned(users):
        when = (_AT, _AT, "applied", 0)
        yield (f"evt_{n}", "invoice.paid", True, *when, _BODY, "0" * 64, "live", "0" * 16, "stripe")


TABLES: Final[tuple[tuple[str, str, Callable[[int], Rows]], ...]] = (
    ("customers", "realm, stripe_customer_id, user_id, party", _customers),
    (
        "subscriptions",
        (
            "realm, stripe_subscription_id, stripe_customer_id, user_id, status, prices,"
            " current_period_end, cancel_at_period_end, as_of, party"
        ),
        _subscriptions,
    ),
    (
        "payments",
        (
            "realm, payment_ref, user_id, stripe_customer_id, amount_minor, amount_refunded_minor,"
            " currency, status, inferred, provisional, occurred_at, party"
        ),
        _payments,
    ),
    (
        "user_entitlements",
        (
            "user_id, source, plan_code, realm, entitlements, per_seat, active, starts_at,"
            " event_id, because, guessed, catalogue_version, party"
        ),
        _entitlements,
    ),
    ("user_versions", "user_id, version, changed_at", _versions),
    (
        "stripe_events",
        (
            "id, type, livemode, created_at, received_at, outcome, attempts, payload,"
            " payload_sha256, realm, fingerprint, origin"
        ),
        _events,
    ),
)


def fill(database_url: str, users: int, say: Callable[[str], None]) -> None:
    """Fill an empty database with users."""
    with psycopg.connect(database_url) as connection:
        for table, columns, rows in TABLES:
            say(f"filling {table}")
            with connection.cursor().copy(f"COPY {table} ({columns}) FROM STDIN".encode()) as copy:
                for row in rows(users):
                    copy.write_row(row)
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("VACUUM ANALYZE")


def settle(stack: Stack) -> None:
    """Write the pages that the filling left dirty now, not while reads are measured."""
    if stack.postgres:
        with psycopg.connect(stack.postgres.admin_url, autocommit=True) as connection:
            connection.execute("CHECKPOINT")


def requests(number: int, users: int, token: str, chance: random.Random) -> list[bytes]:
    """Return the requests as bytes of HTTP."""
    return [_request(_somebody(users, chance), token) for _ in range(number)]


def _somebody(users: int, chance: random.Random) -> str:
    number = chance.randrange(users)
    return f"stranger_{number}" if chance.random() < _STRANGERS else f"usr_{number}"


def _request(user_id: str, token: str) -> bytes:
    path = f"/v1/users/{user_id}/entitlements"
    return f"GET {path} HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {token}\r\n\r\n".encode()


class Round(NamedTuple):
    """The answers of the read API, and of the same server to requests without a database."""

    reads: load.LoadAnswers
    floor: load.LoadAnswers


def measured(stack: Stack, users: int, rate: int, lengths: Iterable[int]) -> Iterator[Round]:
    """Measure one round for each length in seconds."""
    chance = random.Random(users)  # noqa: S311 - the same users in every run
    token = required(stack.console_token, "PAIDUP_CONSOLE_TOKENS")
    for seconds in lengths:
        reads = _answers(stack, requests(rate * seconds, users, token, chance), rate)
        yield Round(reads, _answers(stack, [_NO_DATABASE] * (rate * seconds), rate))


def _answers(stack: Stack, asked: list[bytes], rate: int) -> load.LoadAnswers:
    port = stack.settings.console_bind.port
    answers = load.run(HOST, port, asked, connections=CONNECTIONS, rate=rate)
    if set(answers.statuses) - {200}:
        message = f"answered {dict(answers.statuses)}"
        raise RuntimeError(message)
    return answers


def shown(rounds: Iterable[Round]) -> Table:
    """Return a line for each round."""
    table = Table("reads", "a second", "p50 ms", "p90 ms", "p99 ms", "most ms", "/healthz: p99 ms")
    for reads, floor in rounds:
        figures = [reads.percentile(percent) for percent in (50, 90, 99)]
        figures += [max(reads.latencies) * 1000, floor.percentile(99)]
        cells = (f"{figure:.2f}" for figure in figures)
        table.add_row(str(len(reads.latencies)), f"{reads.rate:.0f}", *cells)
    return table


@click.command()
@click.option("--users", default=1_000_000, show_default=True)
@click.option("--rate", default=500, show_default=True, help="Requests a second.")
@click.option("--seconds", default=20, show_default=True, help="Length of a round.")
@click.option("--rounds", default=5, show_default=True)
def main(users: int, rate: int, seconds: int, rounds: int) -> None:
    """Fill, measure, print, and exit 1 unless the goal is reached."""
    console = Console(stderr=True)
    with tempfile.TemporaryDirectory(prefix="paidup-bench-") as folder:
        Path(folder).chmod(0o755)  # PostgreSQL below it belongs to another account
        environ = {"PATH": os.environ["PATH"], "PAIDUP_LOG_LEVEL": "warning"}
        with Stack(Path(folder) / "data", environ, ports="free") as stack:
            fill(stack.owner_database_url, users, console.print)
            settle(stack)
            console.print(f"{rounds} rounds of {seconds} s")
            _, *counted = measured(stack, users, rate, (_WARMING_SECONDS, *[seconds] * rounds))
    Console().print(shown(counted))
    sys.exit(0 if median(each.reads.percentile(99) for each in counted) < GOAL_MS else 1)


if __name__ == "__main__":
    main()
