"""A primary of Redis with a replica, and sentinels, as docs/deploy.md describes them.

Clients use a relay. After a failover it sends only new connections to the new primary, as a DNS
name or a proxy without health checks does. So clients keep healthy connections to an old primary.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from ops.up.servers import ports
from ops.up.servers.process import Process
from ops.up.servers.redis_server import Redis
from ops.up.servers.secret_file import write_private
from tests.relay import Relay
from tests.workers.waiting import until

PASSWORD = "shared"
SERVICE = "paidup"


class RedisPair:
    """Two servers with one password; ``primary`` and ``replica`` change places at a failover."""

    def __init__(self, folder: Path, binary: Path) -> None:
        self._servers = [self._server(folder / name, binary) for name in ("one", "two")]
        self.primary, self.replica = self._servers

    @staticmethod
    def _server(folder: Path, binary: Path) -> Redis:
        folder.mkdir(mode=0o700, parents=True)
        write_private(folder / "password", PASSWORD)
        return Redis(folder, binary=binary, maxmemory="256mb")

    def start(self) -> None:
        """Start both, and wait until the replica follows."""
        for server in self._servers:
            server.start()
            _configure(server)
        self._follow(self.replica, self.primary)
        self.until_replica_follows()

    def stop(self) -> None:
        """Stop both."""
        for server in self._servers:
            server.stop()

    def fail_over(self) -> None:
        """Promote the replica, and let the old primary live on as its replica."""
        old, new = self.primary, self.replica
        with _client(new) as client:
            client.replicaof("NO", "ONE")
        self._follow(old, new)
        self.primary, self.replica = new, old

    def hand_over(self) -> None:
        """Fail over as an operator plans it: the primary takes no writes until the replica has all.

        ``FAILOVER`` then promotes the replica, and the old primary follows it.
        """
        old, new = self.primary, self.replica
        with _untyped_client(old) as client, _client(new) as promoted:
            client.execute_command("FAILOVER", "TO", ports.LOOPBACK, new.port)
            until(
                lambda: _role(promoted) == "master" and _role(client) == "slave",
                seconds=60,
                why="the replica is promoted",
            )
        self.primary, self.replica = new, old

    def until_replica_follows(self) -> None:
        """Wait until the replica has all data on disk."""
        until(self._follows, seconds=60, why="the replica has all on disk")

    def restart_old(self, server: Redis) -> None:
        """Start a server that was killed, as its init system does."""
        server.start()
        _configure(server)

    def _follows(self) -> bool:
        with _client(self.primary) as client, suppress(redis.RedisError):
            client.set("paidup:test:replicated", 1)
            return _has_replica(client)
        return False

    @staticmethod
    def _follow(replica: Redis, primary: Redis) -> None:
        with _client(replica) as client:
            client.replicaof(ports.LOOPBACK, str(primary.port))


def _role(client: redis.Redis) -> str:
    replication: Any = client.info("replication")
    return str(replication["role"])


def _has_replica(client: redis.Redis) -> bool:
    try:
        return bool(client.waitaof(1, 1, 1500)[1])
    except redis.ResponseError:  # before Redis 7.2
        return bool(client.wait(1, 1500))


def _configure(server: Redis) -> None:
    with _client(server) as client:
        client.config_set("masterauth", PASSWORD)
        # Else the first copy waits five seconds for further replicas.
        client.config_set("repl-diskless-sync-delay", "0")


@contextmanager
def _client(server: Redis) -> Iterator[redis.Redis]:
    client = server.client(timeout=2.0)
    try:
        yield client
    finally:
        client.close()


@contextmanager
def _untyped_client(server: Redis) -> Iterator[Any]:
    """Yield a client for commands that redis-py has no method for."""
    with _client(server) as client:
        yield client


@contextmanager
def redis_pair(folder: Path, binary: Path) -> Iterator[RedisPair]:
    """Run a primary and its replica until the block ends."""
    pair = RedisPair(folder, binary)
    try:
        pair.start()
        yield pair
    finally:
        pair.stop()


def url_through(relay: Relay) -> str:
    """Return the URL of the Redis behind a relay."""
    return f"redis://:{PASSWORD}@{ports.LOOPBACK}:{relay.port}/0"


class Sentinel(Process):
    """One sentinel, which rewrites its own configuration."""

    name = "sentinel"

    def __init__(self, folder: Path, *, binary: Path, watched: Redis) -> None:
        """Watch ``watched`` and its replicas with a quorum of two."""
        super().__init__(folder=folder, run=folder, log=folder / "sentinel.log")
        self.port = ports.free_port()
        self._binary = binary
        self._watched = watched

    def command(self) -> Sequence[str | Path]:
        """Return the command of a server in the mode of a sentinel."""
        return (self._binary, "sentinel.conf", "--sentinel")

    def prepare(self) -> None:
        """Write the configuration, with times that are short for a test."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_private(
            self.folder / "sentinel.conf",
            f"bind {ports.LOOPBACK}\nport {self.port}\ndir ./\n"
            f"sentinel monitor {SERVICE} {ports.LOOPBACK} {self._watched.port} 2\n"
            f"sentinel auth-pass {SERVICE} {PASSWORD}\n"
            f"sentinel down-after-milliseconds {SERVICE} 1000\n"
            f"sentinel failover-timeout {SERVICE} 5000\n",
        )

    def is_ready(self) -> bool:
        """Return True if it knows the replica and two other sentinels' worth of state."""
        with self.client() as client, suppress(redis.RedisError):
            state = client.sentinel_masters().get(SERVICE, {})
            return bool(state) and state["num-slaves"] >= 1
        return False

    def primary(self) -> int:
        """Return the port of the server that it names as primary."""
        with self.client() as client:
            return int(client.sentinel_get_master_addr_by_name(SERVICE)[1])

    def knows_the_others(self) -> bool:
        """Return True if it knows two other sentinels."""
        with self.client() as client, suppress(redis.RedisError):
            return bool(client.sentinel_masters()[SERVICE]["num-other-sentinels"] == 2)
        return False

    @contextmanager
    def client(self) -> Iterator[Any]:
        """Yield a client of the sentinel itself."""
        client = redis.Redis(
            port=self.port, protocol=2, socket_timeout=2, retry=Retry(NoBackoff(), 0)
        )
        try:
            yield client
        finally:
            client.close()


@contextmanager
def three_sentinels(folder: Path, binary: Path, watched: Redis) -> Iterator[list[Sentinel]]:
    """Run three sentinels that know each other."""
    sentinels = [
        Sentinel(folder / f"sentinel-{n}", binary=binary, watched=watched) for n in range(3)
    ]
    try:
        for sentinel in sentinels:
            sentinel.start()
        until(
            lambda: all(sentinel.knows_the_others() for sentinel in sentinels),
            seconds=60,
            why="the sentinels know each other",
        )
        yield sentinels
    finally:
        for sentinel in sentinels:
            sentinel.stop()


def sentinel_url(sentinels: Sequence[Sentinel]) -> str:
    """Return the URL that names all of them."""
    hosts = ",".join(f"{ports.LOOPBACK}:{sentinel.port}" for sentinel in sentinels)
    return f"redis+sentinel://:{PASSWORD}@{hosts}/{SERVICE}/0"
