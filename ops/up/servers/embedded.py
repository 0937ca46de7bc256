"""The servers that a stack starts itself, each in its place in the data folder."""

from pathlib import Path

from ops.up.servers import binaries as locate
from ops.up.servers.postgres_server import Postgres
from ops.up.servers.redis_server import Redis


def redis_in(data_dir: Path, chosen: Path | None) -> Redis:
    """A Redis on the folder, not started yet.

    Raises:
        ServerMissing: if there is no binary, or the chosen one will not do.
    """
    return Redis(
        data_dir / "redis",
        binary=locate.redis_binary(chosen),
        run=data_dir / "run",
        log=data_dir / "log" / "redis.log",
    )


def postgres_in(data_dir: Path) -> Postgres:
    """A PostgreSQL on the folder, not started yet.

    Raises:
        ServerMissing: if there are no binaries.
    """
    return Postgres(
        data_dir / "postgres",
        binaries=locate.postgres_binaries(),
        run=data_dir / "run",
        log=data_dir / "log" / "postgres.log",
    )
