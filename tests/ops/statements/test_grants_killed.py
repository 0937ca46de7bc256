"""A process that dies between its effect and its answer has made one grant, and a retry says so."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from ops.up.servers.ports import free_port
from tests.ops.queries.seeded_database import SeededDatabase

pytestmark = pytest.mark.servers

ROOT = Path(__file__).parents[3]
CALL = (
    *("grants", "add", "usr_1", "--plan", "premium", "--for", "4mo", "--reason", "outage"),
    *("--idempotency-key", "ticket-42", "--json"),
)
KILLED_BEFORE_COMMIT = """
import os, signal, sys
from runtime.ledger import record
record.Ledger.transact = lambda ledger, work: ledger.try_out(
    lambda connection: (work(connection), os.kill(os.getpid(), signal.SIGKILL)))
"""
KILLED_AFTER_COMMIT = """
import os, signal, sys
from runtime.ledger import record
transact = record.Ledger.transact
def killed(ledger, work):
    transact(ledger, work)
    os.kill(os.getpid(), signal.SIGKILL)
record.Ledger.transact = killed
"""
RUN = "import sys; from ops.cli import run; sys.exit(run(sys.argv[1:]))"


def call(
    books: SeededDatabase, folder: Path, before: str = ""
) -> "subprocess.CompletedProcess[str]":
    environ = {
        **{name: value for name, value in os.environ.items() if name.startswith("COV")},
        "PATH": os.environ["PATH"],
        "DATABASE_URL": books.url,
        "REDIS_URL": f"redis://127.0.0.1:{free_port()}/0",
        "PAIDUP_DATA_DIR": str(folder),
    }
    return subprocess.run(
        [sys.executable, "-c", before + RUN, *CALL],
        cwd=ROOT,
        env=environ,
        capture_output=True,
        text=True,
        check=False,
    )


def grants(books: SeededDatabase) -> list[Any]:
    with books.engine.connect() as connection:
        return list(connection.scalars(text("SELECT subject FROM operator_statements")))


@pytest.mark.parametrize(("before", "made"), [(KILLED_BEFORE_COMMIT, 0), (KILLED_AFTER_COMMIT, 1)])
def test_a_killed_call_and_its_retry_make_one_grant_without_redis(
    books: SeededDatabase, tmp_path: Path, before: str, made: int
) -> None:
    books.tell("onetime", user="usr_1")

    killed = call(books, tmp_path, before)
    assert (killed.returncode, killed.stdout) == (-signal.SIGKILL, "")
    assert len(grants(books)) == made

    retried = call(books, tmp_path)

    document = json.loads(retried.stdout)
    assert (document["grant"], document["repeated"]) == (grants(books)[0], bool(made))
    assert len(grants(books)) == 1
