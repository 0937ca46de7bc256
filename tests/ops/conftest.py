from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis

from ops.cli import run
from tests.ops.ops_env import Floor
from tests.ops.queries.seeded_database import Books


@pytest.fixture
def books(database: str) -> Iterator[Books]:
    """A fresh database with the sample shop's plans, to record lifecycles into."""
    books = Books(database)
    yield books
    books.close()


@pytest.fixture
def floor(books: Books, redis_url: str, deployed: Callable[..., None]) -> Iterator[Floor]:
    """A deployment whose worker works whenever the test lets it."""
    deployed(DATABASE_URL=books.url, REDIS_URL=redis_url)
    client = redis.Redis.from_url(redis_url, protocol=2)
    yield Floor(books, client)
    client.close()


@pytest.fixture
def at_work(floor: Floor, monkeypatch: pytest.MonkeyPatch) -> Floor:
    """The same, and its worker works whenever a replay waits."""

    class WorkMeanwhile:
        def pause(self, seconds: float) -> None:
            floor.work(seconds)

    monkeypatch.setattr("ops.replay_run.Interruption", WorkMeanwhile)
    monkeypatch.setattr("ops.import_run.Interruption", WorkMeanwhile)
    return floor


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
