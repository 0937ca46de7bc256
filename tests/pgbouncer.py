"""A real PgBouncer in transaction mode, between a test and its PostgreSQL.

Debian's package has it; where it is not installed, the tests that need it are skipped.
"""

import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest
from psycopg.rows import dict_row

from ops.up.servers import ports
from ops.up.servers.account import ServerAccount, server_account
from ops.up.servers.postgres_server import Postgres
from ops.up.servers.process import Process

PROGRAM = shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin")
_ADMIN = "pgbouncer"


class PgBouncer(Process):
    """One pooler for every database of one server; its port stays the same across restarts."""

    name = "pgbouncer"
    stop_seconds = 5.0

    def __init__(self, folder: Path, server: Postgres, **settings: str | int) -> None:
        """Take settings of ``pgbouncer.ini``, to add to ours or to replace them."""
        super().__init__(folder=folder, run=folder, log=folder / "pgbouncer.log")
        self.port = ports.free_port()
        self._server = server
        self._settings: Mapping[str, str | int] = settings
        self._account = server_account()

    @property
    def url(self) -> str:
        """The application's database, through the pooler."""
        return self.url_of(self._server.url)

    def url_of(self, direct: str) -> str:
        """Return the way through the pooler to a database of its server."""
        return direct.replace(f":{self._server.port}/", f":{self.port}/")

    def sessions(self, state: str) -> int:
        """Return how many sessions with the server, of all databases, are in this state."""
        return sum(row["state"] == state for row in self.ask("SHOW SERVERS"))

    def ask(self, command: str) -> list[dict[str, object]]:
        """Return the rows of a command of the pooler's own console, such as ``SHOW POOLS``."""
        with psycopg.connect(
            host=ports.LOOPBACK,
            port=self.port,
            user=_ADMIN,
            dbname="pgbouncer",
            autocommit=True,
            connect_timeout=3,
            cursor_factory=psycopg.ClientCursor,
        ) as connection:
            cursor = connection.cursor(row_factory=dict_row).execute(command)
            return cursor.fetchall() if cursor.description else []

    def command(self) -> Sequence[str | Path]:
        """Return the command; the log goes to standard error."""
        assert PROGRAM is not None, "skipped where it is not installed"
        return (PROGRAM, "pgbouncer.ini")

    def account(self) -> ServerAccount | None:
        """Return the unprivileged account if we are root."""
        return self._account

    def prepare(self) -> None:
        """Write the configuration: any number of clients on a few sessions of the server."""
        server = urlsplit(self._server.url)
        settings = {
            "listen_addr": ports.LOOPBACK,
            "listen_port": self.port,
            "unix_socket_dir": "",
            "auth_type": "trust",
            "auth_file": "users.txt",
            "admin_users": _ADMIN,
            "pool_mode": "transaction",
            "default_pool_size": 4,
            "max_client_conn": 500,
            "server_login_retry": 1,
            **self._settings,
        }
        ini = "".join(f"{name} = {value}\n" for name, value in settings.items())
        targets = f"* = host={ports.LOOPBACK} port={self._server.port}\n"
        self._write("pgbouncer.ini", f"[databases]\n{targets}\n[pgbouncer]\n{ini}")
        self._write("users.txt", f'"{server.username}" "{server.password}"\n"{_ADMIN}" ""\n')

    def is_ready(self) -> bool:
        """Return True if its console answers."""
        try:
            return bool(self.ask("SHOW VERSION"))
        except psycopg.OperationalError:
            return False

    def _write(self, name: str, content: str) -> None:
        path = self.folder / name
        path.write_text(content)
        # The folder is closed to other users, the account it runs as included.
        path.chmod(0o644)


@contextmanager
def pgbouncer(folder: Path, server: Postgres, **settings: str | int) -> Iterator[PgBouncer]:
    """Run a pooler in front of the server; skip the test where there is none."""
    if PROGRAM is None:
        pytest.skip("pgbouncer is not installed")
    folder.mkdir()
    folder.chmod(0o755)
    pooler = PgBouncer(folder, server, **settings)
    pooler.start()
    try:
        yield pooler
    finally:
        if pooler.is_alive():
            pooler.thaw()
        pooler.kill()
        shutil.rmtree(folder)
