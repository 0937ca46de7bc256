"""PostgreSQL on a full disk: events wait uncharged, and are applied once there is room."""

import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa

from models.tables import StripeEvent
from ops.up.servers.account import ServerAccount
from ops.up.servers.binaries import postgres_binaries
from ops.up.servers.postgres_server import ROLE, Postgres
from runtime.schema import upgrade
from tests.faults.fault_env import FaultSite, command, workers
from tests.full_disk import fill, on_small_disk, seen_by, why_no_full_disk
from tests.workers.waiting import until

pytestmark = [
    pytest.mark.servers,
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="full disks are made in Linux' way"),
]

EVENTS = 40


class PostgresWithSmallDisk(Postgres):
    """A server that alone sees a small disk, for a tablespace."""

    def __init__(self, folder: Path, **given: Any) -> None:
        super().__init__(folder, **given)
        self.small_disk = folder.parent / f"{folder.name}-small"
        self.small_disk.mkdir(exist_ok=True)

    def command(self) -> Sequence[str | Path]:
        """Mount the disk as root, then run the server as its account."""
        server = super().account()
        assert server is not None, "only root mounts a disk for another account"
        become = ["setpriv", f"--reuid={server.uid}", f"--regid={server.gid}", "--clear-groups"]
        give = ["sh", "-c", f'chown {server.uid} "$0" && exec "$@"', str(self.small_disk)]
        run = [*give, *become, *map(str, super().command())]
        return on_small_disk(self.small_disk, "16m", run)

    def account(self) -> ServerAccount | None:
        """Return None: ``command`` changes the account itself."""
        return None


@pytest.fixture
def postgres(servers_folder: Path) -> Iterator[PostgresWithSmallDisk]:
    if why := why_no_full_disk():
        pytest.skip(why)
    if os.getuid() != 0 or shutil.which("setpriv") is None:
        pytest.skip("only root, with setpriv, mounts a disk for PostgreSQL's account")
    server = PostgresWithSmallDisk(servers_folder / "pg-disk", binaries=postgres_binaries())
    server.start()
    yield server
    server.stop()


@pytest.fixture
def site(postgres: PostgresWithSmallDisk, redis_url: str, tmp_path: Path) -> Iterator[FaultSite]:
    site = FaultSite(postgres.url, redis_url, tmp_path / "worker.log")
    upgrade(site.engine)
    site.install_plans()
    with psycopg.connect(postgres.admin_url, autocommit=True) as admin:
        admin.execute(f"CREATE TABLESPACE small OWNER {ROLE} LOCATION '{postgres.small_disk}'")
    with site.engine.begin() as connection:
        connection.execute(sa.text("ALTER TABLE stripe_events SET TABLESPACE small"))
    yield site
    site.close()


def test_a_full_disk_of_postgresql_charges_no_event_and_work_goes_on_with_the_room(
    site: FaultSite, postgres: PostgresWithSmallDisk
) -> None:
    filling = fill(seen_by(postgres.pid, postgres.small_disk))
    with workers(site, PAIDUP_LOG_LEVEL="info") as worker:
        worker.until_ready()
        site.take(range(EVENTS))
        until(site.inbox.breaker_open, seconds=30, why="the breaker opened")
        status = command(site, "status")
        assert site.dead() == []
        filling.unlink()
        site.check_result()

    assert "No space left on device" in status["inbox"]["breaker"]["reason"]
    with site.engine.connect() as connection:
        assert connection.scalar(sa.select(sa.func.max(StripeEvent.attempts))) == 1
