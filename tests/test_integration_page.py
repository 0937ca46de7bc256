"""Run the programs and queries of docs/integration.md as they are on the page."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import psycopg
import pytest

from models.tables import (
    effective_entitlements,
    entitlement_changes,
    entitlement_epoch,
    entitlement_versions,
)
from ops import cli
from ops.samples.api_shapes import Shape
from ops.samples.lifecycles.registry import compose
from runtime.changes.numbering import number_waiting
from runtime.data_loss.settlements import replace_epoch
from runtime.ledger.record import Ledger
from tests.ops.console.console_client import description, validate
from tests.ops.console.console_process import TOKEN, serving
from tests.runtime.changes.change_builders import changed
from tests.runtime.changes.conftest import engine, ledger
from tests.runtime.ledger.delivery_builders import NOW, deliveries
from tests.workers.waiting import until

__all__ = ["engine", "ledger"]

PAGE = (Path(__file__).parents[1] / "docs" / "integration.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, flags=re.MULTILINE | re.DOTALL)


def program(name: str) -> str:
    """Return the program whose first line has this name."""
    [found] = [each for each in blocks("python") if each.startswith(f"# {name}:")]
    return found


def test_every_link_leads_somewhere() -> None:
    headings = re.findall(r"^##+ (.+)$", PAGE, flags=re.MULTILINE)
    anchors = {re.sub(r"[^a-z0-9 -]", "", each.lower()).replace(" ", "-") for each in headings}

    assert set(re.findall(r"\]\(#([^)]+)\)", PAGE)) <= anchors


def test_every_column_of_the_views_is_explained() -> None:
    explained = set(re.findall(r"^\| (`[^|]+) \|", PAGE, flags=re.MULTILINE))
    names = {name for cell in explained for name in re.findall(r"`(\w+)`", cell)}

    explained_views = (
        effective_entitlements,
        entitlement_changes,
        entitlement_epoch,
        entitlement_versions,
    )
    for view in explained_views:
        assert {column.name for column in view.columns} <= names


@pytest.fixture
def environ(database: str) -> dict[str, str]:
    return {**os.environ, "DATABASE_URL": database}


@pytest.mark.servers
def test_every_query_runs(database: str, engine: Any) -> None:
    queries = [
        each
        for block in blocks("sql")
        for each in block.split(";")
        if each.strip().startswith("select")
    ]

    assert len(queries) >= 3
    with psycopg.connect(database) as connection:
        for query in queries:
            connection.execute(query)


@pytest.mark.servers
def test_asking_gives_the_value(environ: dict[str, str], ledger: Ledger) -> None:
    events = compose("first_paid", shape=Shape.NEW, seed="page", now=NOW, user_id="usr_123")
    ledger.record(deliveries(events))

    answers = [ask(environ, user) for user in ("usr_123", "usr_124")]

    assert answers == ["True", "None"]


def ask(environ: dict[str, str], user: str) -> str:
    command = [sys.executable, "-c", program("ask.py"), user, "signals_enabled"]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.mark.servers
def test_asking_over_http_gives_the_value_and_keeps_what_still_holds(
    environ: dict[str, str], database: str, ledger: Ledger, tmp_path: Path
) -> None:
    events = compose("first_paid", shape=Shape.NEW, seed="page", now=NOW, user_id="usr_123")
    ledger.record(deliveries(events))

    with serving(database, tmp_path) as console:
        given = {"PAIDUP_URL": f"http://{console.address}", "PAIDUP_TOKEN": TOKEN}
        command = [sys.executable, "-c", program("ask_http.py"), "usr_123", "usr_123", "usr_124"]
        done = subprocess.run(
            command, env=environ | given, capture_output=True, text=True, check=True
        )

        assert done.stdout.split() == ["True", "True", "False"]
        assert console.count('billing_reads_total{result="unchanged"}') == 1


def test_the_answer_over_http_is_one_that_the_api_describes() -> None:
    (answer,) = blocks("json")

    validate(json.loads(answer), description()["components"]["schemas"]["Entitlements"])


def test_every_problem_of_the_api_is_explained() -> None:
    described = {
        status
        for path, operations in description()["paths"].items()
        if path.startswith("/v1/")
        if "get" in operations
        for status in operations["get"]["responses"]
    }

    explained = re.findall(r"^\| (\d{3}) \|", PAGE, flags=re.MULTILINE)

    assert explained == sorted(described)


@contextmanager
def running(name: str, environ: dict[str, str], folder: Path) -> Iterator[IO[str]]:
    process = subprocess.Popen(
        [sys.executable, "-c", program(name)],
        env=environ,
        cwd=folder,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    try:
        yield process.stdout
    finally:
        process.kill()
        process.communicate()


def heard(lines: IO[str], count: int) -> Sequence[str]:
    return [lines.readline().strip() for _ in range(count)]


def remembered(folder: Path) -> int | None:
    """Return the cursor that a follower stored; None while it writes the file."""
    stored = (folder / "cursor.json").read_text()
    return int(json.loads(stored)[1]) if stored else None


@pytest.mark.servers
def test_a_follower_hears_each_change_and_goes_on_where_it_was(
    environ: dict[str, str], engine: Any, tmp_path: Path
) -> None:
    changed(engine, "usr_1")
    number_waiting(engine)
    with running("follow.py", environ, tmp_path) as lines:
        before = heard(lines, 1)
        changed(engine, "usr_2", "usr_3")
        number_waiting(engine)
        meanwhile = heard(lines, 2)
        until(lambda: remembered(tmp_path) == 3)
    changed(engine, "usr_4")
    number_waiting(engine)
    with running("follow.py", environ, tmp_path) as lines:
        after = heard(lines, 1)

    assert before == ["granted usr_1"]
    assert meanwhile == ["granted usr_2", "granted usr_3"]
    assert after == ["granted usr_4"]


@pytest.mark.servers
def test_a_follower_over_http_hears_each_change_and_goes_on_where_it_was(
    environ: dict[str, str], database: str, engine: Any, tmp_path: Path
) -> None:
    changed(engine, "usr_1")
    number_waiting(engine)
    with serving(database, tmp_path) as console:
        given = environ | {"PAIDUP_URL": f"http://{console.address}", "PAIDUP_TOKEN": TOKEN}
        with running("follow_http.py", given, tmp_path) as lines:
            before = heard(lines, 1)
            changed(engine, "usr_2", "usr_3")
            number_waiting(engine)
            meanwhile = heard(lines, 2)
            until(lambda: remembered(tmp_path) == 3)
        changed(engine, "usr_4")
        number_waiting(engine)
        with running("follow_http.py", given, tmp_path) as lines:
            after = heard(lines, 1)

    assert before == ["granted usr_1"]
    assert meanwhile == ["granted usr_2", "granted usr_3"]
    assert after == ["granted usr_4"]


@pytest.mark.servers
@pytest.mark.parametrize("name", ["follow.py", "follow_http.py"])
def test_a_follower_starts_over_under_another_epoch_and_then_hears_each_change(
    name: str, environ: dict[str, str], database: str, engine: Any, tmp_path: Path
) -> None:
    changed(engine, "usr_1")
    number_waiting(engine)
    with serving(database, tmp_path) as console:
        given = environ | {"PAIDUP_URL": f"http://{console.address}", "PAIDUP_TOKEN": TOKEN}
        with running(name, given, tmp_path) as lines:
            before = heard(lines, 1)
            with engine.begin() as connection:
                replace_epoch(connection)
            replaced = heard(lines, 1)
            changed(engine, "usr_2")
            number_waiting(engine)
            after = heard(lines, 1)

    assert [before, replaced, after] == [["granted usr_1"], ["started over"], ["granted usr_2"]]


@pytest.mark.servers
def test_a_follower_over_http_whose_cursor_is_ahead_starts_over(
    environ: dict[str, str], database: str, engine: Any, tmp_path: Path
) -> None:
    changed(engine, "usr_1")
    number_waiting(engine)
    (tmp_path / "cursor.json").write_text('["an earlier epoch", 7]')
    with serving(database, tmp_path) as console:
        given = environ | {"PAIDUP_URL": f"http://{console.address}", "PAIDUP_TOKEN": TOKEN}
        with running("follow_http.py", given, tmp_path) as lines:
            replaced = heard(lines, 1)
            changed(engine, "usr_2")
            number_waiting(engine)
            after = heard(lines, 1)

    assert [replaced, after] == [["started over"], ["granted usr_2"]]


@pytest.mark.servers
def test_the_line_for_the_shell_follows(
    environ: dict[str, str], engine: Any, tmp_path: Path
) -> None:
    changed(engine, "usr_1")
    number_waiting(engine)
    [line] = blocks("sh")
    paths = f"{Path(sys.executable).parent}:{environ['PATH']}"
    shell = subprocess.Popen(
        ["sh", "-c", line],
        env={**environ, "PATH": paths, "PAIDUP_DATA_DIR": str(tmp_path)},
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert shell.stdout is not None
    first = shell.stdout.readline()
    os.killpg(shell.pid, 15)
    shell.communicate()

    assert '"cursor": 1' in first


def test_every_command_on_the_page_exists() -> None:
    named = set(re.findall(r"`paidup ([a-z]+)", PAGE))

    assert named <= set(cli.COMMANDS)
    assert "changes" in named
