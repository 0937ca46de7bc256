"""Drills on a whole stack, with Debian's Prometheus: each raises its alert and clears it."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest
import redis

from bench.drills.drill import Drill
from bench.drills.prometheus import PROGRAM
from bench.drills.registry import DRILLS
from bench.drills.run import carry_out
from ops.terminal.interrupt import Interrupted
from ops.up.servers.account import temporary_folder
from runtime.database.engine import conninfo_of
from tests.full_disk import why_no_full_disk
from tests.system.stack_env import StackUnderTest, running_system
from tests.workers.waiting import until

pytestmark = [
    pytest.mark.servers,
    pytest.mark.skipif(shutil.which(PROGRAM) is None, reason="needs Debian's prometheus"),
]

QUICK = ("down", "dead-letters")
"""The drills of a run without the slow tests, in which time is short."""

LONG = frozenset(
    {"breaker-open", "ingest-errors", "oldest-event-too-old", "changes-not-numbered", "lag"}
)
"""A minute or more, because their alerts look back so far: in `make test-all` alone."""

OTHERS = [
    name
    for name in DRILLS
    if name not in QUICK and (name not in LONG or os.environ.get("PAIDUP_TEST_FULL"))
]

PENDING_FOR_A_MOMENT = frozenset({"PaidupDown", "PaidupTooFewWorkers", "PaidupLag"})
"""Alerts that never fire here. A scrape takes long on a busy machine; a backlog is served late; or
a Prometheus that has just begun takes the late events of an earlier drill for events of now, as it
extrapolates a bucket that began at 0 less than the others."""


@pytest.fixture(scope="module")
def stack() -> Iterator[StackUnderTest]:
    folder: Path = temporary_folder("paidup-drills-")
    try:
        with running_system(folder) as system:
            yield system
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def check(drill: Drill, system: StackUnderTest) -> None:
    said: list[str] = []
    others = carry_out(drill, system.stack.data_dir, say=said.append)

    assert others <= drill.along | PENDING_FOR_A_MOMENT, said
    shown = [line for line in said if drill.alert in line or "runbook" in line]
    assert [line for line in shown if "docs/operations.md#" in line], said
    assert said[-1].startswith("nothing is left")


def appendfsync(system: StackUnderTest) -> str:
    client = redis.Redis.from_url(system.stack.redis_url)
    try:
        return str(client.config_get("appendfsync")["appendfsync"])
    finally:
        client.close()


@pytest.mark.parametrize("name", QUICK)
def test_an_alert_comes_with_its_cause_and_goes_with_it(name: str, stack: StackUnderTest) -> None:
    check(DRILLS[name], stack)


def test_the_console_has_the_page_of_each_drill(stack: StackUnderTest) -> None:
    base = urlsplit(stack.stack.console_url)

    def status_of(path: str) -> int:
        with closing(HTTPConnection(base.netloc, timeout=30)) as connection:
            connection.request("GET", path)
            return connection.getresponse().status

    found = {drill.page: status_of(drill.page) for drill in DRILLS.values()}
    assert found == dict.fromkeys(found, 303), "each leads to the login"
    assert status_of("/no-such-page") == 404


@pytest.mark.slow
@pytest.mark.parametrize("name", OTHERS)
def test_every_other_alert_comes_with_its_cause(name: str, stack: StackUnderTest) -> None:
    if name == "disk-low" and (why := why_no_full_disk()):
        pytest.skip(why)
    check(DRILLS[name], stack)


def test_an_interrupted_drill_restores_the_setting_that_it_changed(stack: StackUnderTest) -> None:
    said: list[str] = []
    found: list[str] = []

    def interrupt_during_the_cause(seconds: float) -> None:
        time.sleep(seconds)
        if said and appendfsync(stack) != "always":
            found.append(appendfsync(stack))
            raise Interrupted

    with pytest.raises(Interrupted):
        carry_out(
            DRILLS["redis-unsafe"],
            stack.stack.data_dir,
            say=said.append,
            pause=interrupt_during_the_cause,
        )

    assert found == ["everysec"]
    assert appendfsync(stack) == "always"


def test_the_cause_stays_while_people_look(stack: StackUnderTest) -> None:
    seen: list[str] = []

    carry_out(
        DRILLS["redis-unsafe"],
        stack.stack.data_dir,
        say=lambda _line: None,
        look=lambda: seen.append(appendfsync(stack)),
    )

    assert seen == ["everysec"]
    assert appendfsync(stack) == "always"


def dead_letters(system: StackUnderTest) -> int:
    with psycopg.connect(conninfo_of(system.stack.owner_database_url)) as connection:
        row = connection.execute(
            "SELECT count(*) FROM dead_letters WHERE state = 'open'"
        ).fetchone()
    return int(row[0]) if row else 0


@pytest.mark.slow
def test_a_drill_takes_away_what_the_same_drill_left_when_it_was_killed(
    stack: StackUnderTest,
) -> None:
    folder = str(stack.stack.data_dir)
    killed = subprocess.Popen(
        [sys.executable, "-m", "bench.drills", "dead-letters", "--look"],
        env={**os.environ, "PAIDUP_DATA_DIR": folder},
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
    )
    until(lambda: dead_letters(stack) > 0, why="the drill makes dead letters")
    killed.kill()
    killed.communicate()

    check(DRILLS["dead-letters"], stack)
    assert dead_letters(stack) == 0
