"""PostgreSQL is unreachable, flaps, waits for a lock, or refuses writes."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import sqlalchemy as sa

from ops.up.servers.postgres_server import ROLE, Postgres
from tests.faults.fault_env import FaultSite, trickle, workers
from tests.killing import kill
from tests.workers.waiting import until

pytestmark = pytest.mark.servers


@pytest.mark.slow
def test_t16_postgresql_is_unreachable_and_the_worker_dies_meanwhile(
    site_with_own_postgres: FaultSite, own_postgres: Postgres
) -> None:
    site = site_with_own_postgres
    with workers(site) as worker:
        worker.until_ready()
        site.take(range(50))
        site.until_drained()
        site.engine.dispose()
        own_postgres.stop()
        ids = site.take(range(50, 350))
        until(site.inbox.breaker_open, why="the breaker opened")
        for pid in worker.tree():
            kill(pid)
    with workers(site) as worker:
        worker.until_ready()
        attempts, waiting = _during_outage(site, ids, seconds=5)
        own_postgres.start()
        started = time.monotonic()
        site.check_result()

    assert (attempts, time.monotonic() - started < 30) == (0, True)
    assert waiting <= 4
    assert site.dead() == []


def _during_outage(site: FaultSite, ids: list[str], *, seconds: float) -> tuple[int, int]:
    """Return the attempts used in an outage, and the longest queue of wake-ups."""
    waiting, ends_at = 0, time.monotonic() + seconds
    while time.monotonic() < ends_at:
        waiting = max(waiting, int(site.redis.llen("paidup:q:drain")))
        time.sleep(0.05)
    peeked = site.inbox.peek(ids)
    return sum(int(each.history.get("attempts", 0)) for each in peeked), waiting


@pytest.mark.slow
def test_t17_postgresql_flaps_under_load(
    site_with_own_postgres: FaultSite, own_postgres: Postgres
) -> None:
    site = site_with_own_postgres
    with workers(site) as worker:
        worker.until_ready()
        with trickle(site, rate=100, names=int):
            for number in range(4):
                least = site.settled_count() + 30
                until(lambda least=least: site.settled_count() >= least, seconds=40)  # type: ignore[misc]
                site.engine.dispose()
                own_postgres.kill() if number % 2 else own_postgres.stop()
                time.sleep(0.5)
                own_postgres.start()
        site.check_result()


@pytest.mark.slow
def test_t18_a_locked_table_is_no_outage_and_loses_nothing(site: FaultSite) -> None:
    """Lock a table until an event has met the lock twice, which every event does."""
    breaker = set()
    with workers(site) as worker:
        worker.until_ready()
        with _locked(site, "LOCK TABLE payments IN ACCESS EXCLUSIVE MODE"):
            ids = site.take(range(30))
            until(
                lambda: _attempts(site, ids) >= 2,
                meanwhile=lambda: breaker.add(site.inbox.breaker_open()),
                why="one was tried again",
            )
        site.check_result()

    assert breaker == {False}
    assert site.dead() == []


def _attempts(site: FaultSite, ids: list[str]) -> int:
    return max(int(peeked.history.get("attempts", 0)) for peeked in site.inbox.peek(ids))


@contextmanager
def _locked(site: FaultSite, statement: str) -> Iterator[None]:
    """Hold a transaction open, as in an operator's psql session."""
    with site.engine.connect() as connection:
        connection.execute(sa.text("SET idle_in_transaction_session_timeout = 0"))
        connection.execute(sa.text(statement))
        yield
        connection.rollback()


@pytest.mark.slow
def test_t19_a_database_that_refuses_writes_opens_the_breaker_and_uses_no_attempts(
    site_with_own_postgres: FaultSite, own_postgres: Postgres
) -> None:
    site = site_with_own_postgres
    with workers(site) as worker:
        worker.until_ready()
        site.take(range(20))
        site.until_drained()
        _set_read_only(own_postgres, "on")
        ids = site.take(range(20, 120))
        until(site.inbox.breaker_open, seconds=20, why="the breaker opened")
        time.sleep(3)
        assert site.inbox.breaker_open(), "a probe that only reads would have closed it"
        attempts = _attempts(site, ids)
        _set_read_only(own_postgres, "off")
        site.check_result()

    assert attempts == 0


def _set_read_only(server: Postgres, word: str) -> None:
    engine = sa.create_engine(
        server.admin_url.replace("postgresql://", "postgresql+psycopg://"),
        isolation_level="AUTOCOMMIT",
    )
    with engine.connect() as connection:
        connection.execute(sa.text(f"ALTER ROLE {ROLE} SET default_transaction_read_only = {word}"))
        connection.execute(
            sa.text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = :role"),
            {"role": ROLE},
        )
    engine.dispose()
