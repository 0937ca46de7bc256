# ruff: noqa: ARG002 - fakes take the same arguments as the real objects
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Engine
from structlog.testing import capture_logs

from billing.catalogue import read_catalogue
from ops.up.servers.postgres_server import Postgres
from runtime.database.engine import engine_for, make_probe_engine
from runtime.failures.canary import FAILS_AS_WELL
from runtime.failures.classify import Infrastructure
from runtime.inbox.entries import Breaker
from runtime.ledger.catalogues import install_first
from runtime.schema import upgrade
from runtime.settings import Settings
from tests.postgres_pair import PostgresPair, ask
from tests.workers.waiting import until
from workers.supervisor.database_probe import (
    SAY_AGAIN_SECONDS,
    DatabaseProbe,
    ProbeEvents,
    probe_commit,
    probe_events,
)

AWAY = Infrastructure(error_type="NoAnswer", reason="no answer")
SINCE = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


@dataclass
class FakeBreakerInbox:
    open: bool = True
    reason: str = "no answer"
    reasons: list[str] = field(default_factory=list)

    def breaker(self) -> Breaker:
        return Breaker(reason=self.reason, until=SINCE + timedelta(seconds=30), since=SINCE)

    def breaker_open(self) -> bool:
        return self.open

    def open_breaker(self, reason: str, seconds: float) -> None:
        self.reasons.append(reason)

    def close_breaker(self) -> None:
        self.open = False


def job(
    inbox: FakeBreakerInbox,
    probe: ProbeEvents,
    *,
    leads: bool = True,
    now: Callable[[], float] = lambda: 0.0,
) -> DatabaseProbe:
    return DatabaseProbe(inbox, probe, lambda: leads, now)


def test_while_a_probe_fails_the_breaker_is_renewed() -> None:
    inbox = FakeBreakerInbox()

    job(inbox, lambda _: AWAY).run_if_open()

    assert (inbox.open, inbox.reasons) == (True, ["no answer"])


def test_a_probe_that_succeeds_closes_the_breaker() -> None:
    inbox = FakeBreakerInbox()

    job(inbox, lambda _: None).run_if_open()

    assert (inbox.open, inbox.reasons) == (False, [])


@pytest.mark.parametrize(
    ("reason", "of_surroundings"),
    [("no answer", False), (f"{FAILS_AS_WELL}: UndefinedColumn (42703): gone", True)],
)
def test_built_in_events_must_pass_where_they_failed(
    reason: str,
    of_surroundings: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    asked: list[bool] = []

    job(FakeBreakerInbox(reason=reason), asked.append).run_if_open()

    assert asked == [of_surroundings]


@pytest.mark.parametrize(("is_open", "leads"), [(False, True), (True, False)])
def test_only_the_leader_probes_and_only_while_the_breaker_is_open(
    *, is_open: bool, leads: bool
) -> None:
    def probe(_: bool) -> Infrastructure | None:  # noqa: FBT001 - as the job calls it
        raise AssertionError("nothing to probe")

    job(FakeBreakerInbox(open=is_open), probe, leads=leads).run_if_open()


def test_the_log_says_once_a_minute_since_when_workers_wait() -> None:
    now = [0.0]
    waiting = job(FakeBreakerInbox(), lambda _: AWAY, now=lambda: now[0])
    with capture_logs() as logged:
        waiting.run_if_open()
        waiting.run_if_open()
        now[0] = SAY_AGAIN_SECONDS
        waiting.run_if_open()

    assert [line["since"] for line in logged] == [SINCE.isoformat()] * 2
    assert {line["event"] for line in logged} == {"workers wait for PostgreSQL"}


@pytest.fixture
def engine(database: str) -> Iterator[Engine]:
    engine = engine_for(database, application_name="tests")
    yield engine
    engine.dispose()


@pytest.mark.servers
def test_a_server_that_is_away_is_a_failure() -> None:
    engine = engine_for("postgresql://127.0.0.1:1/none", application_name="tests")

    assert probe_events(engine, of_surroundings=False) is not None


@pytest.mark.servers
def test_a_probe_leaves_nothing_behind(engine: Engine) -> None:
    assert probe_events(engine, of_surroundings=True) is None
    with engine.connect() as connection:
        assert connection.scalar(sa.text("SELECT count(*) FROM memberships")) == 0


@pytest.mark.servers
def test_a_read_only_database_counts_as_down(engine: Engine, database: str) -> None:
    name = database.rsplit("/", 1)[1].partition("?")[0]
    with engine.begin() as connection:
        connection.execute(sa.text(f"ALTER DATABASE {name} SET default_transaction_read_only = on"))
    engine.dispose()

    failure = probe_commit(engine)

    assert failure is not None
    assert "25006" in failure.error_type


@pytest.mark.servers
def test_a_primary_whose_commits_wait_for_a_standby_counts_as_down_and_keeps_no_session(
    synchronous_pair: PostgresPair,
) -> None:
    pair = synchronous_pair
    settings = Settings.from_env({"STRIPE_WEBHOOK_SECRET": "whsec_x", "DATABASE_URL": pair.url})
    engine = make_probe_engine(settings, application_name="probing")
    upgrade(engine)
    pair.standby.stop()

    failure = probe_events(engine, of_surroundings=False)

    assert failure is not None
    assert "did not answer" in failure.reason
    sessions = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'probing'"
    until(lambda: ask(pair.primary, sessions) == (0,), why="its session ended")
    pair.standby.start()
    assert probe_events(engine, of_surroundings=False) is None


@pytest.mark.servers
def test_each_probe_opens_one_connection_and_keeps_none(database: str) -> None:
    settings = Settings.from_env({"STRIPE_WEBHOOK_SECRET": "whsec_x", "DATABASE_URL": database})
    engine = make_probe_engine(settings, application_name="probing")
    opened: list[object] = []
    sa.event.listen(engine, "connect", lambda connection, _: opened.append(connection))

    for probes in (1, 2):
        assert probe_events(engine, of_surroundings=False) is None
        assert len(opened) == probes

    assert engine.pool.checkedin() == 0  # type: ignore[attr-defined]


@pytest.mark.servers
def test_a_database_without_our_tables_is_no_outage(own_postgres: Postgres) -> None:
    engine = engine_for(own_postgres.url, application_name="tests")

    assert probe_events(engine, of_surroundings=False) is None

    upgrade(engine)
    engine.dispose()


@pytest.mark.servers
def test_a_right_that_is_missing_on_one_table_keeps_the_breaker_open(
    own_postgres: Postgres,
) -> None:
    engine = engine_for(own_postgres.url, application_name="tests")
    upgrade(engine)
    install_first(engine, read_catalogue({}), actor="tests", reason="tests")
    with engine.begin() as connection:
        connection.execute(sa.text("REVOKE INSERT ON payment_events FROM CURRENT_USER"))

    failure = probe_events(engine, of_surroundings=False)

    assert failure is not None
    assert failure.reason.startswith("permission denied for table payment_events")
    with engine.begin() as connection:
        connection.execute(sa.text("GRANT INSERT ON payment_events TO CURRENT_USER"))
    assert probe_events(engine, of_surroundings=False) is None
    engine.dispose()
