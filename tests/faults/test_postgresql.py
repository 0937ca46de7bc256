"""PostgreSQL is unreachable, flaps, waits for a lock, or refuses writes."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import sqlalchemy as sa

from billing.ids import PartyId
from ops.up.servers.postgres_server import ROLE, Postgres
from runtime.ledger.locks import number_of
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
def test_t18_an_operators_lock_on_one_customer_delays_no_other(site: FaultSite) -> None:
    faults = ("short_locks", "short_backoff")
    with workers(site, *faults) as worker:
        worker.until_ready()
        with _locked(site, "SELECT pg_advisory_xact_lock(:it)", it=_party("cus_locked")):
            delayed = site.take(["locked.1"])
            others = site.take(f"free.{number}" for number in range(40))
            until(lambda: site.is_settled(others), seconds=10, why="the others are applied")
            until(lambda: _attempts(site, delayed) >= 3, seconds=20, why="it was tried again")
            assert not site.inbox.breaker_open()
            assert not site.is_settled(delayed)
        site.check_result()


@pytest.mark.slow
def test_t18_a_table_locked_for_as_long_as_twelve_lock_timeouts_loses_nothing(
    site: FaultSite,
) -> None:
    """Lock a table for 12 lock timeouts, which is a minute with the 5 s of production."""
    breaker = set()
    with workers(site, "short_locks", "short_backoff") as worker:
        worker.until_ready()
        with _locked(site, "LOCK TABLE payments IN ACCESS EXCLUSIVE MODE"):
            site.take(range(30))
            for _ in range(48):
                breaker.add(site.inbox.breaker_open())
                time.sleep(0.1)
        site.check_result()

    assert breaker == {False}
    assert site.dead() == []


def _party(customer: str) -> int:
    return number_of(PartyId(f"test:{customer}"))


def _attempts(site: FaultSite, ids: list[str]) -> int:
    return max(int(peeked.history.get("attempts", 0)) for peeked in site.inbox.peek(ids))


@contextmanager
def _locked(site: FaultSite, statement: str, **values: object) -> Iterator[None]:
    """Hold a transaction open, as in an operator's psql session."""
    with site.engine.connect() as connection:
        connection.execute(sa.text("SET idle_in_transaction_session_timeout = 0"))
        connection.execute(sa.text(statement), values)
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
