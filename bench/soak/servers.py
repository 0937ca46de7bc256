"""The servers of a soak test: PostgreSQL and Redis, each with a copy that can take over."""

import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from ops.up.servers.binaries import postgres_binaries, redis_binary
from ops.up.servers.parent_watch import ParentWatch
from ops.up.servers.process import Process
from tests.postgres_pair import PostgresPair, Way, postgres_pair
from tests.redis_failover import RedisPair, redis_pair
from tests.relay import Relay


@dataclass(frozen=True, slots=True, kw_only=True)
class SoakServers:
    """A primary with a synchronous standby, and a primary with its replica behind a relay."""

    postgres: PostgresPair
    redis: RedisPair
    relay: Relay

    def fail_over_postgres(self, way: Way) -> None:
        """Promote the standby; the old primary is dead, or it refuses writes."""
        self.postgres.fail_over(way)

    def fail_over_redis(self) -> None:
        """Promote the replica; the old primary lives on and keeps its connections."""
        self.redis.fail_over()
        self.relay.point_at(self.redis.primary.port)

    def ended(self) -> list[Process]:
        """Return the servers that take writes and do not run."""
        return [part for part in (self.postgres.primary, self.redis.primary) if not part.is_alive()]

    def restart_ended(self) -> None:
        """Start those servers again, as their init systems do, and wait until they are ready."""
        if not self.postgres.primary.is_alive():
            self.postgres.primary.start()
        if not self.redis.primary.is_alive():
            self.redis.restart_old(self.redis.primary)


@contextmanager
def soak_folder() -> Iterator[Path]:
    """Yield a temporary folder, which other accounts may enter: PostgreSQL belongs to one.

    If this process is killed, every process with a pid file in it is stopped, and it is deleted.
    """
    with tempfile.TemporaryDirectory(prefix="paidup-soak-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        watch = ParentWatch(folder, remove=True)
        try:
            yield folder
        finally:
            watch.release()


@contextmanager
def soak_servers(folder: Path, redis_server: Path | None) -> Iterator[SoakServers]:
    """Run all four servers in a folder that other accounts may enter."""
    with (
        postgres_pair(folder / "pg", binaries=postgres_binaries(), synchronous=True) as postgres,
        redis_pair(folder / "redis", redis_binary(redis_server)) as redis,
        closing(Relay(redis.primary.port)) as relay,
    ):
        yield SoakServers(postgres=postgres, redis=redis, relay=relay)
