"""A PostgreSQL primary with a real standby: ``pg_basebackup``, streaming replication, promotion.

The standby replicates through a relay, so a test can cut it off and make it lag. Clients use both
servers as docs/deploy.md shows: one URL with two hosts and ``target_session_attrs=read-write``.
``fail_over`` swaps the roles; ``rebuild_standby`` gives the new primary a standby again, on the
folder and port of the old one. So a test may fail over as often as it likes.
"""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import psycopg

from ops.up.servers.account import server_account
from ops.up.servers.ports import LOOPBACK
from ops.up.servers.postgres_server import ROLE, Postgres
from tests.relay import Relay
from tests.workers.waiting import until

Way = Literal["killed", "read-only", "frozen"]
"""What becomes of the old primary. Its sessions end, meet 25006, or get no answer."""


class PostgresPair:
    """Two servers in folders below ``folder``; one is the primary, the other its standby."""

    def __init__(self, folder: Path, *, binaries: Path, synchronous: bool) -> None:
        """Start both. With ``synchronous``, a COMMIT waits until the standby has it on disk."""
        self._synchronous = synchronous
        self._binaries = binaries
        self.primary = self._server(folder / "a")
        self.standby = self._server(folder / "b")
        self.primary.start()
        self.relay = Relay(self.primary.port)
        self._clone()

    @property
    def url(self) -> str:
        """The application's database on whichever of both takes writes."""
        head, _, tail = self.primary.url.rpartition("@")
        database = tail.partition("/")[2]
        hosts = ",".join(f"{LOOPBACK}:{port}" for port in sorted(self._ports()))
        return f"{head}@{hosts}/{database}?target_session_attrs=read-write"

    def cut_standby_off(self) -> None:
        """Let the standby receive nothing more; an asynchronous primary goes on without it."""
        self.relay.cut()

    def let_standby_catch_up(self) -> None:
        """Mend the replication and wait until the standby has everything."""
        self.relay.mend()
        until(self._has_caught_up, seconds=60, why=f"caught up; see {self.standby.log}")

    def fail_over(self, way: Way = "killed") -> None:
        """End the primary's service in this way, promote the standby, and swap their roles."""
        match way:
            case "killed":
                self.primary.kill()
            case "frozen":
                self.primary.freeze()
            case "read-only":
                set_read_only(self.primary)
        ask(self.standby, "SELECT pg_promote(true, 60)")
        self.primary, self.standby = self.standby, self.primary

    def rebuild_standby(self) -> None:
        """Throw away what the old primary has, frozen or not, and copy the new primary."""
        self.standby.kill()
        self.relay.point_at(self.primary.port)
        self.relay.mend()
        shutil.rmtree(self._data(self.standby))
        self._clone()

    def stop(self) -> None:
        """End both, frozen or not."""
        self.relay.close()
        for server in (self.primary, self.standby):
            server.kill()

    def _server(self, folder: Path) -> Postgres:
        folder.mkdir()
        folder.chmod(0o711)
        # A killed server loses nothing of what the system has: only a power cut needs fsync.
        return Postgres(
            folder / "cluster",
            binaries=self._binaries,
            settings={"fsync": "off", "track_commit_timestamp": "on"},
        )

    def _ports(self) -> tuple[int, int]:
        return self.primary.port, self.standby.port

    def _clone(self) -> None:
        self._copy_primary()
        self.standby.start()
        self._require_standby()
        until(self._has_caught_up, seconds=60, why=f"it replicates; see {self.standby.log}")

    def _copy_primary(self) -> None:
        """Copy the primary by ``pg_basebackup``; the copy replicates through the relay."""
        home = self._data(self.standby).parent
        home.mkdir(exist_ok=True)
        password = home / "password"
        shutil.copy(self._data(self.primary).parent / "password", password)
        account = server_account()
        if account:
            for path in (home, password):
                os.chown(path, account.uid, account.gid)
        source = self.primary.admin_url.replace(f":{self.primary.port}/", f":{self.relay.port}/")
        done = subprocess.run(
            [
                str(self._binaries / "pg_basebackup"),
                f"--dbname={source}",
                f"--pgdata={home / 'data'}",
                "--checkpoint=fast",
                "--wal-method=stream",
                "--write-recovery-conf",
                "--no-sync",
            ],
            cwd=home,
            env=dict(self.primary.environ()),
            capture_output=True,
            text=True,
            check=False,
            user=account.uid if account else None,
            group=account.gid if account else None,
            extra_groups=[] if account else None,
        )
        assert done.returncode == 0, done.stderr

    def _require_standby(self) -> None:
        # After the copy: a promoted standby must not wait for a standby that it does not have.
        if self._synchronous:
            ask(self.primary, "ALTER SYSTEM SET synchronous_standby_names = '*'")
            ask(self.primary, "SELECT pg_reload_conf()")

    def _has_caught_up(self) -> bool:
        wanted = "sync" if self._synchronous else "async"
        row = ask(
            self.primary,
            "SELECT sync_state, replay_lsn >= pg_current_wal_lsn() FROM pg_stat_replication"
            " WHERE state = 'streaming'",
        )
        return bool(row == (wanted, True))

    @staticmethod
    def _data(server: Postgres) -> Path:
        return server.folder / "data"


@contextmanager
def postgres_pair(
    folder: Path, *, binaries: Path, synchronous: bool = False
) -> Iterator[PostgresPair]:
    """Yield a pair that replicates, and end both servers afterwards."""
    folder.mkdir()
    folder.chmod(0o711)
    pair = PostgresPair(folder, binaries=binaries, synchronous=synchronous)
    try:
        yield pair
    finally:
        pair.stop()
        shutil.rmtree(folder)


def ask(server: Postgres, statement: str) -> Any:
    """Return the first row of a superuser's statement in the application's database, or None."""
    with psycopg.connect(
        server.admin_url, dbname=ROLE, autocommit=True, connect_timeout=3
    ) as connection:
        cursor = connection.execute(statement)
        return cursor.fetchone() if cursor.description else None


def set_read_only(server: Postgres) -> None:
    """Refuse writes and leave every session connected, as a demoted server behind a proxy does."""
    ask(server, "ALTER SYSTEM SET default_transaction_read_only = on")
    ask(server, "SELECT pg_reload_conf()")
    until(lambda: ask(server, "SHOW default_transaction_read_only") == ("on",), why="read-only")


def worker_sessions(server: Postgres) -> int:
    """Return how many pool children have a session on this server with which they could work."""
    # A COMMIT that waits for a standby that is gone does not notice that its client left.
    query = (
        "SELECT count(DISTINCT application_name) FROM pg_stat_activity"
        " WHERE application_name LIKE 'paidup-worker%'"
        " AND wait_event IS DISTINCT FROM 'SyncRep'"
    )
    return int(ask(server, query)[0])
