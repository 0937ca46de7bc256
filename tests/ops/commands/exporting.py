"""Another database whose events are exported, for tests of what takes them there."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from ops.up.servers.postgres_server import Postgres
from tests.ops.conftest import Paidup
from tests.ops.queries.seeded_database import SeededDatabase


@contextmanager
def another_database(server: Postgres, template: str) -> Iterator[SeededDatabase]:
    """Make a database beside that of the commands, and drop it in the end."""
    books = SeededDatabase(server.create_database("elsewhere", template=template))
    yield books
    books.close()
    server.drop_database("elsewhere")


def exporter(
    elsewhere: SeededDatabase, paidup: Paidup, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Path]:
    """Return a function that exports the other database into a new file of a folder."""

    def export(*arguments: str) -> Path:
        path = folder / f"{len(list(folder.iterdir()))}.jsonl"
        with monkeypatch.context() as there:
            there.setenv("DATABASE_URL", elsewhere.url)
            paidup("events", "export", "--to", str(path), *arguments)
        return path

    return export


def lines(path: Path) -> list[dict[str, Any]]:
    """Return the lines of an exported file."""
    return [json.loads(line) for line in path.read_text().splitlines()]
