from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError

from ops.console.connections import hasty_engine
from ops.up.servers.postgres_server import Postgres
from runtime.database.deadline import NoAnswer, ProbeConnection
from runtime.database.engine import connector, conninfo_of, engine_for, engine_on
from runtime.database.pooler import is_behind_pooler
from runtime.failures.classify import Infrastructure, Transient, classify
from runtime.settings import Settings
from runtime.time_limits import STATEMENT_SECONDS
from tests.pgbouncer import PgBouncer, pgbouncer
from tests.workers.waiting import until

pytestmark = pytest.mark.servers

DEFAULTS = {
    "statement_timeout": "0",
    "lock_timeout": "0",
    "idle_in_transaction_session_timeout": "0",
    "TimeZone": "UTC",
    "DateStyle": "ISO, MDY",
    "search_path": '"$user", public',
    "default_transaction_read_only": "off",
    "enable_seqscan": "on",
    "jit": "on",
}

STEPS: dict[str, Callable[[Connection], object]] = {
    "statement": lambda connection: connection.execute(text("SELECT 1")),
    "commit": lambda connection: connection.commit(),
    "rollback": lambda connection: connection.rollback(),
}
"""Each may be the first to meet a session that ended within a transaction."""


@pytest.fixture
def narrow(servers_folder: Path, postgres_server: Postgres, tmp_path: Path) -> Iterator[PgBouncer]:
    """Yield a pooler with one session for each database: whatever is left in it, the next sees."""
    folder = servers_folder / f"narrow-{tmp_path.name}"
    with pgbouncer(folder, postgres_server, default_pool_size=1) as started:
        yield started


@pytest.fixture(params=["transaction", "session"])
def in_either_mode(
    request: pytest.FixtureRequest, servers_folder: Path, postgres_server: Postgres, tmp_path: Path
) -> Iterator[PgBouncer]:
    """Yield a pooler in transaction mode, and one in session mode."""
    folder = servers_folder / f"either-{tmp_path.name[-20:]}"
    with pgbouncer(folder, postgres_server, pool_mode=request.param) as started:
        yield started


@pytest.fixture
def engine(narrow: PgBouncer, database: str) -> Iterator[Engine]:
    engine = engine_for(narrow.url_of(database), application_name="paidup test", pool_size=2)
    yield engine
    engine.dispose()


def settings_of_another_application(url: str) -> dict[str, object]:
    with psycopg.connect(url, autocommit=True) as other:
        found = {name: other.execute(f"SHOW {name}").fetchone() for name in DEFAULTS}
    return {name: row[0] for name, row in found.items() if row is not None}


def test_a_pooler_is_noticed_and_the_server_itself_is_none(engine: Engine, database: str) -> None:
    with engine.connect() as connection:
        assert is_behind_pooler(connection)
    direct = engine_for(database, application_name="test")
    with direct.connect() as connection:
        assert not is_behind_pooler(connection)
    direct.dispose()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("statement_timeout", f"{STATEMENT_SECONDS:g}s"),
        ("lock_timeout", "3s"),
        ("idle_in_transaction_session_timeout", "20s"),
        ("transaction_isolation", "read committed"),
        ("application_name", "paidup test"),
        ("TimeZone", "UTC"),
        ("DateStyle", "ISO, YMD"),
        ("search_path", "public"),
    ],
)
def test_every_transaction_is_bounded(engine: Engine, name: str, value: str) -> None:
    for _ in range(2):
        with engine.connect() as connection:
            assert connection.scalar(text(f"SHOW {name}")) == value
            connection.rollback()
            assert connection.scalar(text(f"SHOW {name}")) == value


def test_another_application_of_the_pool_finds_its_own_defaults(
    engine: Engine, narrow: PgBouncer, database: str
) -> None:
    url = narrow.url_of(database)
    hasty = hasty_engine(settings(url), application_name="hasty", pool_size=1)
    for _ in range(2):
        with hasty.connect() as connection:
            connection.execute(text("SELECT 1"))
        with engine.begin() as connection:
            connection.execute(text("SELECT 1"))
        with pytest.raises(DBAPIError), engine.begin() as connection:
            connection.execute(text("SELECT 1 / 0"))
        assert settings_of_another_application(url) == DEFAULTS
    hasty.dispose()


def test_what_another_application_left_in_its_session_does_not_reach_us(
    engine: Engine, narrow: PgBouncer, database: str
) -> None:
    with psycopg.connect(narrow.url_of(database), autocommit=True) as other:
        other.execute("SET bytea_output = 'escape'")
        other.execute("SET search_path = nowhere")

    with engine.connect() as connection:
        assert connection.scalar(text("SELECT '\\xff'::bytea::text")) == "\\xff"
        assert connection.scalar(text("SELECT count(*) FROM stripe_events")) == 0


def queries(pooler: PgBouncer, database: str) -> int:
    """Return how many messages with statements the pooler has passed on for a database."""
    return next(
        int(str(row["query_count"]))
        for row in pooler.ask("SHOW STATS_TOTALS")
        if row["database"] == database
    )


def test_the_settings_cost_no_round_trip_of_their_own(
    engine: Engine, narrow: PgBouncer, database: str
) -> None:
    name = database.rpartition("/")[2]
    with engine.connect() as connection:
        connection.execute(text("SELECT 1"))
        connection.rollback()
        before = queries(narrow, name)
        connection.execute(text("SELECT 1"))
        connection.commit()
        after = queries(narrow, name)

    assert after - before == 3, "BEGIN with the settings, the statement, COMMIT"


def test_no_statement_is_prepared_however_often_it_is_sent(engine: Engine) -> None:
    with engine.connect() as connection:
        for number in range(12):
            connection.execute(text("SELECT :number + 1"), {"number": number})
            connection.commit()
        left = connection.scalar(text("SELECT count(*) FROM pg_prepared_statements"))

    assert left == 0


def test_a_snapshot_is_read_only_and_the_next_transaction_is_not(engine: Engine) -> None:
    def modes(connection: Connection) -> tuple[object, ...]:
        return tuple(
            connection.scalar(text(f"SHOW transaction_{each}"))
            for each in ("isolation", "read_only")
        )

    for _ in range(2):
        with engine.connect() as connection:
            snapshot = connection.execution_options(
                isolation_level="REPEATABLE READ", postgresql_readonly=True
            )
            assert modes(snapshot) == ("repeatable read", "on")
        with engine.connect() as connection:
            assert modes(connection) == ("read committed", "off")


def test_many_rows_are_written_and_read_in_portions(engine: Engine) -> None:
    rows = [{"number": number, "word": f"{number} %"} for number in range(2000)]
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE words (number int, word text)"))
        connection.execute(text("INSERT INTO words VALUES (:number, :word)"), rows)
    with engine.connect() as connection:
        read = text("SELECT number, word FROM words ORDER BY number")
        found = connection.execute(read, execution_options={"yield_per": 100})
        assert [dict(row) for row in found.mappings()] == rows


def settings(url: str) -> Settings:
    return Settings.from_env({"DATABASE_URL": url})


def test_a_hurried_reader_sends_its_limits_with_each_statement(
    narrow: PgBouncer, database: str
) -> None:
    engine = hasty_engine(settings(narrow.url_of(database)), application_name="hasty", pool_size=1)
    name = database.rpartition("/")[2]
    with engine.connect() as connection:
        before = queries(narrow, name)
        row = connection.exec_driver_sql(
            "SELECT %(word)s::text, current_setting('statement_timeout'),"
            " current_setting('transaction_read_only'), current_setting('enable_seqscan')",
            {"word": "100 % of 'it'"},
        ).one()
        assert queries(narrow, name) - before == 1
        with pytest.raises(DBAPIError, match="statement timeout"):
            connection.exec_driver_sql("SELECT pg_sleep(5)")
        with pytest.raises(DBAPIError, match="read-only"):
            connection.exec_driver_sql("CREATE TABLE nothing ()")
        assert connection.exec_driver_sql("SELECT 1").scalar() == 1
    engine.dispose()

    assert tuple(row) == ("100 % of 'it'", "900ms", "on", "off")


class ShortProbe(ProbeConnection):
    answer_seconds = 0.5


def probe_engine(url: str) -> Engine:
    return engine_on(connector(conninfo_of(url), application_name="probe", kind=ShortProbe))


def test_a_probe_that_is_given_up_ends_its_statement_through_the_pooler(
    narrow: PgBouncer, database: str, postgres_server: Postgres
) -> None:
    engine = probe_engine(narrow.url_of(database))
    with engine.connect() as connection:
        connection.execute(text("SET LOCAL statement_timeout = 0"))
        with pytest.raises(DBAPIError, match=r"did not answer within 0\.5 s"):
            connection.execute(text("SELECT pg_sleep(600)"))
    engine.dispose()

    def sleepers() -> int:
        query = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep(600)%'"
        with postgres_server._connect() as admin:
            row = admin.execute(f"{query} AND state = 'active'").fetchone()
        assert row is not None
        return int(str(row[0]))

    until(lambda: sleepers() == 0, why="the statement ended")


def test_a_pool_whose_sessions_are_all_at_work_is_named_as_such(
    engine: Engine, narrow: PgBouncer, database: str
) -> None:
    waiting = probe_engine(narrow.url_of(database))
    with waiting.connect() as connection:
        connection.execute(text("SELECT 1"))
        connection.rollback()
        with engine.begin() as holder:
            holder.execute(text("SELECT 1"))
            with pytest.raises(DBAPIError, match="every session of the pooler in use") as failed:
                connection.execute(text("SELECT 1"))
    waiting.dispose()

    assert isinstance(failed.value.orig, NoAnswer)
    assert isinstance(classify(failed.value), Infrastructure)


@pytest.mark.parametrize("step", STEPS.values(), ids=STEPS)
def test_a_transaction_that_the_server_ended_because_it_was_idle_is_no_outage(
    engine: Engine,
    database: str,
    postgres_server: Postgres,
    narrow: PgBouncer,
    step: Callable[[Connection], object],
) -> None:
    def sessions() -> int:
        query = "SELECT count(*) FROM pg_stat_activity WHERE datname = %s"
        with postgres_server._connect() as admin:
            row = admin.execute(query, [database.rpartition("/")[2]]).fetchone()
        assert row is not None
        return int(str(row[0]))

    with engine.connect() as connection:
        connection.execute(text("SET LOCAL idle_in_transaction_session_timeout = '200ms'"))
        until(lambda: sessions() == 0, seconds=20, why="the server ended the session")
        until(lambda: narrow.sessions("active") == 0, why="the pooler noticed")
        with pytest.raises(DBAPIError) as failed:
            step(connection)

    assert isinstance(classify(failed.value), Transient)


@pytest.mark.parametrize("step", STEPS.values(), ids=STEPS)
def test_a_session_that_was_ended_within_a_transaction_is_an_outage(
    in_either_mode: PgBouncer,
    database: str,
    postgres_server: Postgres,
    step: Callable[[Connection], object],
) -> None:
    """Expect two answers to COMMIT: the session's last words, and those of the pooler itself."""
    engine = engine_for(in_either_mode.url_of(database), application_name="test", pool_size=1)
    with engine.connect() as connection:
        pid = connection.scalar(text("SELECT pg_backend_pid()"))
        with postgres_server._connect() as admin:
            admin.execute("SELECT pg_terminate_backend(%s)", [pid])
        until(lambda: in_either_mode.sessions("active") == 0, why="the pooler noticed")
        with pytest.raises(DBAPIError, match="administrator command") as failed:
            step(connection)
    engine.dispose()

    assert isinstance(classify(failed.value), Infrastructure)


def test_a_limit_of_the_pooler_belongs_to_the_event_that_met_it(
    servers_folder: Path, postgres_server: Postgres, database: str, tmp_path: Path
) -> None:
    folder = servers_folder / f"limited-{tmp_path.name}"
    limits = {"query_timeout": 3, "idle_transaction_timeout": 1}
    with pgbouncer(folder, postgres_server, **limits) as limited:
        engine = engine_for(limited.url_of(database), application_name="test")
        with engine.connect() as connection, pytest.raises(DBAPIError, match="query t") as slow:
            connection.execute(text("SELECT pg_sleep(60)"))
        with engine.connect() as connection:
            connection.execute(text("SELECT 1"))
            until(lambda: not limited.sessions("active"), seconds=20, why="it ended the session")
            with pytest.raises(DBAPIError, match="idle transaction timeout") as idle:
                connection.execute(text("SELECT 1"))
        engine.dispose()

    assert isinstance(classify(slow.value), Transient)
    assert isinstance(classify(idle.value), Transient)


def test_a_pooler_in_session_mode_is_treated_alike(
    servers_folder: Path, postgres_server: Postgres, database: str, tmp_path: Path
) -> None:
    folder = servers_folder / f"session-{tmp_path.name}"
    with pgbouncer(folder, postgres_server, pool_mode="session") as whole:
        engine = engine_for(whole.url_of(database), application_name="test", pool_size=1)
        for _ in range(2):
            with engine.connect() as connection:
                assert is_behind_pooler(connection)
                assert connection.scalar(text("SHOW lock_timeout")) == "3s"
        engine.dispose()
        assert settings_of_another_application(whole.url_of(database)) == DEFAULTS


def test_a_pooler_in_statement_mode_is_refused_in_its_own_words(
    servers_folder: Path, postgres_server: Postgres, database: str, tmp_path: Path
) -> None:
    folder = servers_folder / f"statement-{tmp_path.name}"
    with pgbouncer(folder, postgres_server, pool_mode="statement") as single:
        engine = engine_for(single.url_of(database), application_name="test")
        with (
            pytest.raises(DBAPIError, match="statement pooling mode") as failed,
            engine.connect() as connection,
        ):
            connection.execute(text("SELECT 1"))
        engine.dispose()

    assert isinstance(classify(failed.value), Infrastructure)
