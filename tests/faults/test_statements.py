"""Statements of people are recorded once, though their process is killed and Redis is away.

A call that dies before COMMIT leaves nothing, and one that dies after it and before its answer
leaves the result. The same call under the same key does the rest: as command, as file, over HTTP.
"""

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.client import HTTPException
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from ops.console_tokens import Role, hashed_entry
from ops.up.servers.ports import free_port
from tests.ingest.ingest_process import TimedAnswer
from tests.ops.console.console_process import ServedConsole, serving
from tests.ops.queries.seeded_database import SeededDatabase
from tests.workers.waiting import until

pytestmark = pytest.mark.servers

ROOT = Path(__file__).parents[2]
TOKEN = "a-token-of-an-operator"
FUSE = "statement.0"
KINDS = ("grant", "grant_ended", "link", "link_ended")
FAULTS = pytest.mark.parametrize(
    ("fault", "made"),
    [
        pytest.param("die_before_statement", 0, marks=pytest.mark.slow),
        ("die_after_statement", 1),
    ],
)
FILE = "user,plan,for\nusr_1,premium,30d\nusr_2,team,30d\nusr_3,premium,5d\n"


@pytest.fixture
def books(database: str) -> Iterator[SeededDatabase]:
    """A database of two users, of whom each bought something."""
    books = SeededDatabase(database)
    for user in ("usr_1", "usr_2"):
        books.tell("onetime", user=user, seed=user)
    yield books
    books.close()


def scalars(books: SeededDatabase, query: str) -> list[Any]:
    with books.engine.connect() as connection:
        return list(connection.scalars(text(query)))


def stated(books: SeededDatabase) -> Mapping[str, int]:
    """Return how many statements of each kind are recorded."""
    return Counter(scalars(books, "SELECT kind FROM operator_statements"))


def subject(books: SeededDatabase, kind: str) -> str:
    query = f"SELECT subject FROM operator_statements WHERE kind = '{kind}'"  # noqa: S608
    return str(*scalars(books, query))


def payment_of_first(books: SeededDatabase) -> str:
    return str(*scalars(books, "SELECT payment_ref FROM payments WHERE user_id = 'usr_1'"))


def effects(books: SeededDatabase) -> tuple[Any, ...]:
    """Return the entries of the audit about what people stated, and the money that moved."""
    actions = scalars(books, "SELECT action FROM audit_logs WHERE event_id LIKE 'op_%' ORDER BY id")
    money = scalars(books, "SELECT amount_minor FROM payment_events WHERE kind = 'moved'")
    return actions, sum(money), len(money)


GRANTED, ENDED = ["grant.added", "entitlement.granted"], ["grant.ended", "entitlement.revoked"]
MOVED = [
    *("entitlement.granted", "entitlement.revoked", "payment.moved", "payment.moved"),
    *("purchase.changed", "payment.reassigned"),
]
EFFECTS = Counter([*GRANTED, *ENDED, "link.added", *MOVED, "link.ended", *MOVED])


def surroundings(books: SeededDatabase, folder: Path) -> dict[str, str]:
    """Return the environment of a deployment whose Redis is stopped."""
    return {
        **{name: value for name, value in os.environ.items() if name.startswith("COV")},
        "PATH": os.environ["PATH"],
        "DATABASE_URL": books.url,
        "REDIS_URL": f"redis://127.0.0.1:{free_port()}/0",
        "PAIDUP_DATA_DIR": str(folder / "data"),
        "FAULT_FOLDER": str(folder),
    }


@pytest.fixture
def command(books: SeededDatabase, tmp_path: Path) -> Callable[..., Any]:
    """Return a function that runs a command in a process of its own, with a fault built in."""

    def run(*call: str, faults: str = "") -> "subprocess.CompletedProcess[str]":
        (tmp_path / FUSE).unlink(missing_ok=True)
        return subprocess.run(
            [sys.executable, "-m", "tests.faults.faulty_command", *call],
            cwd=ROOT,
            env={**surroundings(books, tmp_path), "FAULTS": faults},
            capture_output=True,
            text=True,
            check=False,
        )

    return run


def calls(books: SeededDatabase) -> Iterator[tuple[str, ...]]:
    """Yield a call that makes each kind of statement, once the former one was made."""
    yield "grants", "add", "usr_1", "--plan", "premium", "--for", "4mo"
    yield "grants", "end", subject(books, "grant")
    yield "links", "add", payment_of_first(books), "usr_2"
    yield "links", "end", subject(books, "link")


@FAULTS
def test_a_killed_command_and_its_retry_state_it_once(
    books: SeededDatabase, command: Callable[..., Any], fault: str, made: int
) -> None:
    for kind, call in zip(KINDS, calls(books), strict=True):
        again = (*call, "--reason", "outage", "--idempotency-key", f"ticket-{kind}", "--json")

        killed = command(*again, faults=fault)
        assert (killed.returncode, killed.stdout) == (-signal.SIGKILL, ""), killed.stderr
        assert stated(books)[kind] == made

        retried = carried_out(command, again)
        assert retried["repeated"] is bool(made)
        assert retried["statement"] in scalars(books, "SELECT id FROM operator_statements")
        assert stated(books)[kind] == 1

    actions, money, moves = effects(books)
    assert (Counter(actions), money, moves) == (EFFECTS, 0, 4)


def carried_out(command: Callable[..., Any], call: Sequence[str]) -> dict[str, Any]:
    """Repeat a call until PostgreSQL knows that the killed process is gone; return its answer."""
    answers: list[Any] = []

    def is_done() -> bool:
        answers.append(command(*call))
        assert answers[-1].returncode == 0 or "is not over" in answers[-1].stderr, answers[-1]
        return bool(answers[-1].returncode == 0)

    until(is_done, why="the retry is carried out")
    said: dict[str, Any] = json.loads(answers[-1].stdout)
    return said


@pytest.mark.parametrize(
    ("fault", "made"),
    [
        pytest.param("die_before_statement", 0, marks=pytest.mark.slow),
        pytest.param("die_before_second_statement", 1, marks=pytest.mark.slow),
        ("die_after_second_statement", 2),
    ],
)
def test_a_file_whose_run_was_killed_is_finished_by_the_same_command(
    books: SeededDatabase, command: Callable[..., Any], tmp_path: Path, fault: str, made: int
) -> None:
    path = tmp_path / "grants.csv"
    path.write_text(FILE)
    call = ("grants", "add", "--file", str(path), "--new-user", "--reason", "outage", "--yes")

    killed = command(*call, faults=fault)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert stated(books)["grant"] == made

    retried = carried_out(command, (*call, "--json"))
    assert (retried["made"], retried["repeated"]) == (3 - made, made)
    assert carried_out(command, (*call, "--json"))["made"] == 0
    query = "SELECT user_id FROM operator_statements ORDER BY user_id"
    assert scalars(books, query) == ["usr_1", "usr_2", "usr_3"]
    query = "SELECT user_id FROM user_entitlements WHERE source LIKE 'grant_%' ORDER BY user_id"
    assert scalars(books, query) == ["usr_1", "usr_2", "usr_3"]


@contextmanager
def serving_with(fault: str, books: SeededDatabase, folder: Path) -> Iterator[ServedConsole]:
    """Serve a console with a fault, whose launcher replaces a process that died."""
    environ = {
        **surroundings(books, folder),
        "FAULTS": fault,
        "PAIDUP_CONSOLE_TOKENS": hashed_entry("support", Role.OPERATOR, TOKEN),
        "PYTHONPATH": str(ROOT),
    }
    with serving(books.url, folder, "tests.faults.faulty_console", **environ) as console:
        yield console


def posts(books: SeededDatabase) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield a request that makes each kind of statement, once the former one was made."""
    yield "/v1/grants", {"user_id": "usr_1", "plan": "premium", "for": "4mo", "reason": "outage"}
    yield f"/v1/grants/{subject(books, 'grant')}/end", {"reason": "over"}
    yield "/v1/links", {"target": payment_of_first(books), "user_id": "usr_2", "reason": "guest"}
    yield f"/v1/links/{subject(books, 'link')}/end", {"reason": "another"}


@FAULTS
def test_a_killed_request_and_its_retry_state_it_once(
    books: SeededDatabase, tmp_path: Path, fault: str, made: int
) -> None:
    with serving_with(fault, books, tmp_path) as console:
        for kind, (path, body) in zip(KINDS, posts(books), strict=True):
            (tmp_path / FUSE).unlink(missing_ok=True)
            with pytest.raises((HTTPException, ConnectionError)):
                console.state(path, body, key=f"ticket-{kind}", token=TOKEN)
            assert (tmp_path / FUSE).exists()
            assert stated(books)[kind] == made
            until(console.ready, why="another process answers")

            retried = answered(console, path, body, key=f"ticket-{kind}")
            replayed = retried.headers.get("idempotent-replayed") == "true"
            status = 200 if kind.endswith("ended") else 201
            assert (retried.status, replayed) == (status, bool(made))
            assert stated(books)[kind] == 1

    actions, money, moves = effects(books)
    assert (Counter(actions), money, moves) == (EFFECTS, 0, 4)


def answered(console: ServedConsole, path: str, body: dict[str, Any], *, key: str) -> TimedAnswer:
    """Repeat a request until PostgreSQL knows that the killed process is gone."""
    answers: list[TimedAnswer] = []

    def is_done() -> bool:
        answers.append(console.state(path, body, key=key, token=TOKEN))
        return answers[-1].status != 409

    until(is_done, why="the retry is carried out")
    return answers[-1]
