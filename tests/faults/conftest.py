"""Sites on the session's servers, or on servers that a test may break."""

import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from ops.up.servers.postgres_server import Postgres
from ops.up.servers.redis_server import Redis
from runtime.schema import upgrade
from tests.faults.fault_env import FaultSite
from tests.postgres_pair import PostgresPair


@pytest.fixture
def seed() -> int:
    """Return the seed of a test's randomness; set ``FAULT_SEED`` to repeat a failed run."""
    drawn = int(os.environ.get("FAULT_SEED") or random.SystemRandom().randrange(10**6))
    print(f"FAULT_SEED={drawn}")  # noqa: T201 - pytest shows it when the test fails
    return drawn


@pytest.fixture
def chance(seed: int) -> random.Random:
    """Return a seeded random generator."""
    return random.Random(seed)  # noqa: S311 - which process dies need not be secret


@pytest.fixture
def site(database: str, redis_url: str, tmp_path: Path) -> Iterator[FaultSite]:
    """Yield a site on the session's servers, which must not be stopped or frozen."""
    yield from _site(database, redis_url, tmp_path)


@pytest.fixture
def site_with_own_redis(database: str, own_redis: Redis, tmp_path: Path) -> Iterator[FaultSite]:
    """Yield a site on the session's PostgreSQL and on ``own_redis``, which may be broken."""
    yield from _site(database, own_redis.url, tmp_path)


@pytest.fixture
def site_with_own_postgres(
    own_postgres: Postgres, redis_url: str, tmp_path: Path
) -> Iterator[FaultSite]:
    """Yield a site on the session's Redis and on ``own_postgres``, which may be broken."""
    yield from _new_site(own_postgres.url, redis_url, tmp_path)


@pytest.fixture
def site_of_its_own(
    own_postgres: Postgres, own_redis: Redis, tmp_path: Path
) -> Iterator[FaultSite]:
    """Yield a site on ``own_postgres`` and ``own_redis``, which may both be broken."""
    yield from _new_site(own_postgres.url, own_redis.url, tmp_path)


@pytest.fixture
def site_with_pair(
    synchronous_pair: PostgresPair, redis_url: str, tmp_path: Path
) -> Iterator[FaultSite]:
    """Yield a site on the session's Redis and on ``synchronous_pair``, which may fail over."""
    yield from _new_site(synchronous_pair.url, redis_url, tmp_path)


@pytest.fixture
def site_with_asynchronous_pair(
    asynchronous_pair: PostgresPair, redis_url: str, tmp_path: Path
) -> Iterator[FaultSite]:
    """Yield a site on the session's Redis and on ``asynchronous_pair``, which may fail over."""
    yield from _new_site(asynchronous_pair.url, redis_url, tmp_path)


def _new_site(database_url: str, redis_url: str, folder: Path) -> Iterator[FaultSite]:
    """Migrate a database that is empty, and yield a site on it."""
    site = FaultSite(database_url, redis_url, folder / "worker.log")
    upgrade(site.engine)
    site.close()
    yield from _site(database_url, redis_url, folder)


def _site(database_url: str, redis_url: str, folder: Path) -> Iterator[FaultSite]:
    site = FaultSite(database_url, redis_url, folder / "worker.log")
    site.install_plans()
    yield site
    site.close()
