from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ops.cli import run
from tests.ops.queries.books import Books


@pytest.fixture
def books(database: str) -> Iterator[Books]:
    """A fresh database with the sample shop's plans, to record lifecycles into."""
    books = Books(database)
    yield books
    books.close()


class Paidup:
    """Runs commands in this process against the servers of a test."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys
        self.err = ""

    def __call__(self, *arguments: str, code: int = 0) -> str:
        """What a command prints; it must end as expected, and without a traceback."""
        ended = run(arguments)
        said = self._capsys.readouterr()
        self.err = said.err
        assert (ended, "Traceback" in said.err) == (code, False), said
        return said.out


@pytest.fixture
def deployed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., None]:
    """Set the environment of a deployment, and nothing of this machine's."""

    def deploy(**environ: str) -> None:
        for name in ("DATABASE_URL", "REDIS_URL", "PAIDUP_CONNECT_ACCOUNTS"):
            monkeypatch.delenv(name, raising=False)
        for name, value in {"PAIDUP_DATA_DIR": str(tmp_path), **environ}.items():
            monkeypatch.setenv(name, value)

    return deploy


@pytest.fixture
def paidup(capsys: pytest.CaptureFixture[str]) -> Paidup:
    return Paidup(capsys)
