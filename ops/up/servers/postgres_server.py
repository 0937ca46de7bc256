"""An embedded PostgreSQL: real fsync, TCP on loopback, a password, no root.

The cluster has a superuser ``postgres`` for Paidup itself, and a role ``paidup`` that owns the
database and is no superuser, so that rights work as in production.
"""

import os
import signal
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import psycopg
from psycopg import sql

from ops.up.servers import ports
from ops.up.servers.account import ServerAccount, server_account
from ops.up.servers.cluster import Cluster
from ops.up.servers.errors import ServerDidNotStart
from ops.up.servers.process import Process
from ops.up.servers.process_table import children_of, command_of
from runtime.database.deadline import DeadlineConnection

SETTINGS: Mapping[str, str] = {
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    "listen_addresses": ports.LOOPBACK,
    # A socket's path may have 107 bytes and ours may be longer, so there is none.
    "unix_socket_directories": "",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "cluster_name": "paidup",
}
ROLE = "paidup"
_ADMIN = "postgres"


class Postgres(Process):
    """One cluster in one folder; the port stays the same across restarts."""

    name = "postgres"
    turn = 3
    stop_signal = signal.SIGINT  # "fast": ends sessions instead of waiting for them
    stop_seconds = 30.0
    start_seconds = 120.0  # recovery after a kill replays the log first

    def __init__(
        self,
        folder: Path,
        *,
        binaries: Path,
        run: Path | None = None,
        log: Path | None = None,
        port: int | None = None,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        """Take ``binaries`` from ``postgres_binaries``; ``settings`` override ``SETTINGS``."""
        super().__init__(
            folder=folder, run=run or folder.parent, log=log or folder.parent / "postgres.log"
        )
        self.binaries = binaries
        self.port = port or ports.free_port()
        self.settings = {**SETTINGS, **(settings or {})}
        self.may_move = port is None
        self._account = server_account()
        self._cluster = Cluster(
            folder,
            binaries=binaries,
            account=self._account,
            environ=self.environ(),
            log=self.log,
        )

    @property
    def url(self) -> str:
        """The application's database, as the role that owns it."""
        return self.url_of(ROLE)

    @property
    def admin_url(self) -> str:
        """The maintenance database, as superuser: to create and drop databases."""
        return self._url(_ADMIN, _ADMIN)

    def url_of(self, database: str) -> str:
        """Return the URL of any database, as the role that owns the application's."""
        return self._url(ROLE, database)

    def command(self) -> Sequence[str | Path]:
        """Return the postmaster with every setting on its command line, where ``ps`` shows it."""
        options = (f"--{name}={value}" for name, value in self.settings.items())
        return (
            self.binaries / "postgres",
            "-D",
            self._cluster.data,
            f"--port={self.port}",
            *options,
        )

    def account(self) -> ServerAccount | None:
        """Return the unprivileged account if we are root."""
        return self._account

    def prepare(self) -> None:
        """Make sure that the cluster is whole and of this version."""
        self._cluster.prepare()

    def is_ready(self) -> bool:
        """Return True if it accepts connections."""
        try:
            self._connect().close()
        except psycopg.OperationalError:
            return False
        return True

    def start(self) -> None:
        """Start it, and create role and database if missing.

        Raises:
            ServerDidNotStart: also if it ended or failed again right after its start.
        """
        super().start()
        try:
            self._make_role_and_database()
        except psycopg.Error as error:
            said = str(error).strip().partition("\n")[0]
            raise ServerDidNotStart(self.name, said, self.log) from error

    def kill(self) -> None:
        """End the postmaster and every session: one that goes on would write into the folder."""
        backends = children_of(self.pid) if self.is_alive() else []
        super().kill()
        for pid in backends:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        deadline = time.monotonic() + self.stop_seconds
        while any(map(command_of, backends)) and time.monotonic() < deadline:
            self.pause(0.01)

    def freeze(self) -> None:
        """Stop the postmaster and every session: each backend has a session of its own."""
        for pid in (self.pid, *children_of(self.pid)):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Continue the backends, then the postmaster."""
        for pid in (*children_of(self.pid), self.pid):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)

    def create_database(self, name: str, *, template: str = "template1") -> str:
        """Create a database from the template, owned by our role, and return its URL."""
        with self._connect() as connection:
            connection.execute(
                sql.SQL("create database {} template {} owner {}").format(
                    sql.Identifier(name), sql.Identifier(template), sql.Identifier(ROLE)
                )
            )
        return self.url_of(name)

    def make_login(self, role: str, password: str, *, database: str = ROLE) -> str:
        """Create a role that can log in, or set its password, and return its URL of a database."""
        statement = sql.SQL("{} role {} login password {}").format(
            sql.SQL("alter" if self._has("pg_roles", "rolname", role) else "create"),
            sql.Identifier(role),
            sql.Literal(password),
        )
        with self._connect() as connection:
            connection.execute(statement)
        return self._url(role, database, password)

    def drop_database(self, name: str) -> None:
        """Drop a database and its connections; do nothing if it is gone."""
        with self._connect() as connection:
            statement = sql.SQL("drop database if exists {} with (force)")
            connection.execute(statement.format(sql.Identifier(name)))

    def _url(self, role: str, database: str, password: str | None = None) -> str:
        password = password or self._cluster.password()
        return f"postgresql://{role}:{password}@{ports.LOOPBACK}:{self.port}/{database}"

    def _connect(self) -> "psycopg.Connection[tuple[object, ...]]":
        return DeadlineConnection.connect(self.admin_url, autocommit=True, connect_timeout=3)

    def _has(self, catalogue: str, column: str, name: str) -> bool:
        query = sql.SQL("select from {} where {} = %s").format(
            sql.Identifier(catalogue), sql.Identifier(column)
        )
        with self._connect() as connection:
            return bool(connection.execute(query, [name]).rowcount)

    def _make_role_and_database(self) -> None:
        # A standby has both, and takes no writes.
        if not self._has("pg_roles", "rolname", ROLE):
            self.make_login(ROLE, self._cluster.password())
        if not self._has("pg_database", "datname", ROLE):
            self.create_database(ROLE)
