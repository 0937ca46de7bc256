import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from ops.up.servers.postgres_server import Postgres
from runtime.settings import Settings
from tests.pgbouncer import PgBouncer
from tests.workers.worker_process import REPOSITORY
from workers.supervisor.start_check import reason_to_refuse

pytestmark = pytest.mark.servers


@pytest.fixture
def latin(postgres_server: Postgres) -> Iterator[str]:
    with postgres_server._connect() as connection:
        connection.execute(
            "CREATE DATABASE latin_start ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0"
        )
    yield postgres_server.url_of("latin_start")
    postgres_server.drop_database("latin_start")


def settings(url: str) -> Settings:
    return Settings.from_env({"DATABASE_URL": url})


def test_a_worker_does_not_start_on_a_database_that_cannot_store_every_name(
    latin: str, redis_url: str, tmp_path: Path
) -> None:
    started = subprocess.run(
        [sys.executable, "-m", "workers"],
        env={
            **os.environ,
            "DATABASE_URL": latin,
            "REDIS_URL": redis_url,
            "PAIDUP_DATA_DIR": str(tmp_path),
            "PAIDUP_WORKER_METRICS_BIND": "127.0.0.1:0",
        },
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert started.returncode == 2
    assert started.stderr.count("\n") == 1
    assert started.stderr.startswith("DATABASE_URL: the encoding of the database is LATIN1")


def test_a_usable_database_is_no_reason_and_neither_is_one_that_is_away(database: str) -> None:
    assert reason_to_refuse(settings(database)) is None
    assert reason_to_refuse(settings("postgresql://127.0.0.1:1/none")) is None


def test_a_pooler_is_said_in_the_log(database: str, pooler: PgBouncer) -> None:
    with capture_logs() as lines:
        assert reason_to_refuse(settings(pooler.url_of(database))) is None

    assert [line["event"] for line in lines] == [
        "a connection pooler stands between this worker and PostgreSQL"
    ]
