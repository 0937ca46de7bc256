import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
import structlog
from sqlalchemy.exc import OperationalError

from runtime.metrics_files import claimed_folder
from runtime.settings import Settings
from runtime.time_limits import ACCESS_EXPIRY_SECONDS
from tests.ops.queries.seeded_database import SeededDatabase
from tests.workers.fakes import ManualClock
from workers.supervisor.access_expiry import MAX_PARTIES, AccessExpiry
from workers.supervisor.main import Supervisor

IDLE_POOL = (sys.executable, "-c", "import time; time.sleep(300)")


class FakeExpiryLedger:
    """A number of due parties for each run, or an error."""

    def __init__(self, *results: int | Exception) -> None:
        self.results = list(results)
        self.limits: list[int] = []

    def project_due(self, limit: int) -> int:
        self.limits.append(limit)
        result = self.results.pop(0) if self.results else 0
        if isinstance(result, Exception):
            raise result
        return result


def refused() -> Exception:
    return OperationalError("SELECT 1", {}, ConnectionRefusedError("refused"))


def test_it_runs_at_once_and_then_every_20_s() -> None:
    clock, ledger = ManualClock(), FakeExpiryLedger(3)
    expiry = AccessExpiry(ledger.project_due, lambda: True, clock)

    runs = []
    for clock.now in (0.0, ACCESS_EXPIRY_SECONDS - 0.1, ACCESS_EXPIRY_SECONDS):
        expiry.run_if_due()
        runs.append(len(ledger.limits))

    assert runs == [1, 1, 2]
    assert set(ledger.limits) == {MAX_PARTIES}


def test_one_run_goes_on_until_nothing_is_due() -> None:
    ledger = FakeExpiryLedger(MAX_PARTIES, MAX_PARTIES, 3)
    expiry = AccessExpiry(ledger.project_due, lambda: True, ManualClock())

    expiry.run_if_due()
    expiry.run_if_due()

    assert len(ledger.limits) == 3


def test_a_run_ends_early_when_the_worker_stops_or_another_one_leads() -> None:
    leads, ledger = [True], FakeExpiryLedger(*[MAX_PARTIES] * 9)
    clock = ManualClock()
    AccessExpiry(ledger.project_due, lambda: leads[0], clock, lambda: True).run_if_due()
    stopped_after = len(ledger.limits)

    def lose_the_lead(limit: int) -> int:
        leads[0] = False
        return ledger.project_due(limit)

    AccessExpiry(lose_the_lead, lambda: leads[0], clock).run_if_due()

    assert (stopped_after, len(ledger.limits)) == (1, 2)


def test_only_the_supervisor_that_leads_runs_it() -> None:
    leads, ledger = [False], FakeExpiryLedger()
    expiry = AccessExpiry(ledger.project_due, lambda: leads[0], ManualClock())

    expiry.run_if_due()
    before = len(ledger.limits)
    leads[0] = True
    expiry.run_if_due()

    assert (before, len(ledger.limits)) == (0, 1)


def test_an_error_is_logged_once_and_the_next_run_tries_again() -> None:
    clock = ManualClock()
    ledger = FakeExpiryLedger(refused(), refused(), KeyError("a bug"), 0, 0)
    expiry = AccessExpiry(ledger.project_due, lambda: True, clock)

    with structlog.testing.capture_logs() as lines:
        for _ in range(5):
            expiry.run_if_due()
            clock.now += ACCESS_EXPIRY_SECONDS

    assert len(ledger.limits) == 5
    assert [line["event"] for line in lines] == [
        "time-limited access could not be ended",
        "time-limited access ends on time again",
    ]
    assert "refused" in lines[0]["reason"]


@pytest.fixture
def books(database: str) -> Iterator[SeededDatabase]:
    books = SeededDatabase(database)
    yield books
    books.close()


def active_grants(books: SeededDatabase) -> int:
    with books.engine.connect() as connection:
        query = sa.text("SELECT count(*) FROM user_entitlements WHERE active")
        return int(connection.scalar(query) or 0)


def end_by_the_clock(books: SeededDatabase) -> None:
    """Let the subscription's cancellation date pass without another event."""
    ended = (
        "UPDATE facts SET fact = jsonb_set(fact, '{fields,cancel_at}', to_jsonb(now()))"
        " WHERE kind = 'subscription'"
    )
    with books.engine.begin() as connection:
        connection.execute(sa.text(ended))
        connection.execute(sa.text("UPDATE parties SET due_at = now()"))


@pytest.mark.servers
def test_a_grant_that_ends_by_the_clock_is_inactive_within_a_minute_of_a_supervisor(
    books: SeededDatabase, redis_url: str, tmp_path: Path
) -> None:
    books.tell("first_paid")
    environ = {
        "DATABASE_URL": books.url,
        "REDIS_URL": redis_url,
        "PAIDUP_WORKER_METRICS_BIND": "127.0.0.1:0",
    }
    before = active_grants(books)
    end_by_the_clock(books)
    give_up_at = time.monotonic() + 60.0

    with claimed_folder(tmp_path / "metrics", {}) as folder:
        code = Supervisor(Settings.from_env(environ), folder, IDLE_POOL).run(
            lambda: active_grants(books) == 0 or time.monotonic() > give_up_at
        )

    assert (before, active_grants(books), code) == (1, 0, 0)
