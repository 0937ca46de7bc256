from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis

from ops.cli import run
from tests.ops.ops_env import OpsEnv
from tests.ops.queries.seeded_database import SeededDatabase


@pytest.fixture
def books(database: str) -> Iterator[SeededDatabase]:
    """A fresh database with the sample shop's plans, to record lifecycles into."""
    books = SeededDatabase(database)
    yield books
    books.close()


@pytest.fixture
def floor(books: SeededDatabase, redis_url: str, deployed: Callable[..., None]) -> Iterator[OpsEnv]:
    """A deployment whose worker runs when the test says so."""
    deployed(DATABASE_URL=books.url, REDIS_URL=redis_url)
    client = redis.Redis.from_url(redis_url, protocol=2)
    yield OpsEnv(books, client)
    client.close()


@pytest.fixture
def at_work(floor: OpsEnv, monkeypatch: pytest.MonkeyPatch) -> OpsEnv:
    """The same; its worker runs whenever a replay waits."""

    class WorkMeanwhile:
        def pause(self, seconds: float) -> None:
            floor.work(seconds)

    monkeypatch.setattr("ops.replay.start.Interruption", WorkMeanwhile)
    return floor


class Paidup:
    """Runs commands in this process against the servers of a test."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys
        self.err = ""

    def __call__(self, *arguments: str, code: int = 0) -> str:
        """Run a command and return its output; check its exit code and that it has no traceback."""
        ended = run(arguments)
        said = self._capsys.readouterr()
        self.err = said.err
        assert (ended, "Traceback" in said.err) == (code, False), said
        return said.out


@pytest.fixture
def deployed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., None]:
    """Set the environment of a deployment, without settings of this machine."""

    def deploy(**environ: str) -> None:
        for name in ("DATABASE_URL", "REDIS_URL", "PAIDUP_CONNECT_ACCOUNTS"):
            monkeypatch.delenv(name, raising=False)
        for name, value in {"PAIDUP_DATA_DIR": str(tmp_path), **environ}.items():
            monkeypatch.setenv(name, value)

    return deploy


@pytest.fixture
def paidup(capsys: pytest.CaptureFixture[str]) -> Paidup:
    return Paidup(capsys)
