"""An embedded Redis or Valkey, as durable as the one in production must be.

``appendfsync always`` is the point: every acknowledged write is on disk. It listens on loopback and
requires a password, which is stored in its folder.
"""

from collections.abc import Sequence
from pathlib import Path

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from ops.up.servers import ports
from ops.up.servers.process import Process
from ops.up.servers.secret_file import kept_secret, write_private

_CONFIG = """\
bind 127.0.0.1
port {port}
protected-mode yes
requirepass {password}
daemonize no
logfile ""
loglevel notice
dir ./
save ""
appendonly yes
appendfsync always
no-appendfsync-on-rewrite no
aof-load-truncated yes
stop-writes-on-bgsave-error yes
maxmemory {maxmemory}
maxmemory-policy noeviction
timeout 0
tcp-keepalive 60
"""


class Redis(Process):
    """One server on one folder; the port stays the same across restarts."""

    name = "redis"
    start_seconds = 120.0  # a large append-only file is read whole before the first answer

    def __init__(
        self,
        folder: Path,
        *,
        binary: Path,
        run: Path | None = None,
        log: Path | None = None,
        port: int | None = None,
        maxmemory: str = "512mb",
    ) -> None:
        """Take ``binary`` from ``redis_binary``; without a port choose a free one."""
        super().__init__(folder=folder, run=run or folder, log=log or folder / "redis.log")
        self.binary = binary
        self.port = port or ports.free_port()
        self.may_move = port is None
        self.maxmemory = maxmemory

    @property
    def url(self) -> str:
        """The URL with the password, database 0."""
        return f"redis://:{self._password()}@{ports.LOOPBACK}:{self.port}/0"

    def command(self) -> Sequence[str | Path]:
        """Return the command; a configuration file keeps the password off the command line."""
        return (self.binary, "redis.conf")

    def prepare(self) -> None:
        """Write the configuration: port, password and durability."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        config = _CONFIG.format(port=self.port, password=self._password(), maxmemory=self.maxmemory)
        write_private(self.folder / "redis.conf", config)

    def is_ready(self) -> bool:
        """Return True if it answers PING, which it does not while it loads its file."""
        client = self.client(timeout=1.0)
        try:
            return bool(client.ping())
        except redis.RedisError:
            return False
        finally:
            client.close()

    def client(self, *, timeout: float = 5.0) -> redis.Redis:
        """Return a client without retries, with a timeout."""
        return redis.Redis.from_url(
            self.url,
            socket_timeout=timeout,
            socket_connect_timeout=timeout,
            retry=Retry(NoBackoff(), 0),
        )

    def _password(self) -> str:
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return kept_secret(self.folder / "password")
