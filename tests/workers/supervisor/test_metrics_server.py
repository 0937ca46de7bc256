import errno
import json
import urllib.error
import urllib.request
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa
from redis.exceptions import ConnectionError as RedisConnectionError
from structlog.testing import capture_logs

from models.stripe_runs import DIFFERENCE_CLASSES
from runtime.database.engine import engine_for
from runtime.inbox.api_requests import ApiNumbers
from runtime.inbox.entries import Backlog, Breaker
from runtime.reconciling import ComparedPart
from runtime.settings import Address
from runtime.telemetry import SharedState
from runtime.time_limits import DATABASE_STATE_SECONDS, STALE_DATABASE_STATE_SECONDS
from tests.runtime.inbox.backlogs import EMPTY_BACKLOG
from workers.supervisor.metrics_server import MetricsServer
from workers.supervisor.shared_state import (
    DatabaseState,
    DatabaseStateCache,
    SharedStateReader,
    read_database_state,
)

NOON = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


def backlog(reason: str) -> Backlog:
    return replace(
        EMPTY_BACKLOG,
        at=NOON,
        events=3,
        oldest_seconds=4.5,
        due=1,
        waiting_seconds=1.0,
        parked=1,
        claimed=1,
        drainers=1,
        breaker=Breaker(reason=reason, until=NOON, since=NOON - timedelta(minutes=1)),
    )


class BacklogInbox:
    unreachable = False
    reason = "no answer"

    def backlog(self) -> Backlog:
        if self.unreachable:
            raise RedisConnectionError("refused")
        return backlog(self.reason)


@pytest.mark.servers
def test_scrapes_are_answered_and_everything_else_is_not_found() -> None:
    server = MetricsServer(Address("127.0.0.1", 0), lambda: b"up 1\n", lambda: None)
    address = server.start()

    with urllib.request.urlopen(f"http://{address}/metrics?x=1") as answer:
        assert answer.read() == b"up 1\n"
        assert answer.headers["Content-Type"].startswith("text/plain")
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(f"http://{address}/")
    refused.value.close()
    server.stop()

    assert refused.value.code == 404


@pytest.mark.servers
def test_whether_to_restart_is_answered_without_a_scrape() -> None:
    reasons = [None, "the loop of the pools has not moved for 61 s"]

    def render() -> bytes:
        raise AssertionError

    server = MetricsServer(Address("127.0.0.1", 0), render, lambda: reasons.pop(0))
    address = server.start()

    with urllib.request.urlopen(f"http://{address}/livez") as answer:
        assert json.load(answer) == {"status": "alive"}
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(f"http://{address}/livez")
    with refused.value as stuck:
        assert stuck.code == 503
        assert json.load(stuck) == {
            "status": "stuck",
            "reason": "the loop of the pools has not moved for 61 s",
        }
    server.stop()


@pytest.mark.servers
def test_a_taken_port_is_a_warning_and_does_not_stop_the_worker() -> None:
    first = MetricsServer(Address("127.0.0.1", 0), lambda: b"", lambda: None)
    address = first.start()
    assert address is not None

    second = MetricsServer(address, lambda: b"", lambda: None)

    assert second.start() is None
    second.stop()
    first.stop()


@pytest.mark.servers
def test_a_scrape_that_cannot_be_rendered_is_an_error_and_the_next_one_is_answered() -> None:
    scrapes: list[int] = []

    def render() -> bytes:
        scrapes.append(1)
        if len(scrapes) == 1:
            raise OSError(errno.EMFILE, "Too many open files")
        return b"up 1\n"

    server = MetricsServer(Address("127.0.0.1", 0), render, lambda: None)
    address = server.start()

    with capture_logs() as lines, pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(f"http://{address}/metrics")
    refused.value.close()
    with urllib.request.urlopen(f"http://{address}/metrics") as answer:
        assert answer.read() == b"up 1\n"
    server.stop()

    assert (refused.value.code, lines[0]["loop"]) == (500, "metrics")


API = ApiNumbers(requests={("fetch", "answered"): 4}, reads={"live": 3}, paused=False)
DATABASE = DatabaseState(dead_letters=2, changes_waiting_seconds=0.5, unsold={"unknown_price": 1})


def test_the_shared_state_joins_the_inbox_and_the_database() -> None:
    state = SharedStateReader(BacklogInbox().backlog, lambda: DATABASE, lambda: API)()

    assert state == SharedState(
        backlog_events=3,
        backlog_oldest_seconds=4.5,
        backlog_due_events=1,
        backlog_due_seconds=1.0,
        backlog_parked_events=1,
        workers_needed=2,
        worker_processes=2,
        dead_letters=2,
        breaker_open=True,
        breaker_open_seconds=60.0,
        fault_of_surroundings="",
        changes_waiting_seconds=0.5,
        unsold={"unknown_price": 1},
        fetch_backlog_events=0,
        fetch_breaker_open=False,
        api_requests={("fetch", "answered"): 4},
        api_reads={"live": 3},
        api_paused=False,
    )


def test_a_fault_of_the_surroundings_has_the_code_of_the_server() -> None:
    inbox = BacklogInbox()
    inbox.reason = "a built-in event fails as well: UndefinedColumn (42703): it is gone"

    state = SharedStateReader(inbox.backlog, lambda: DATABASE, lambda: API)()

    assert state.fault_of_surroundings == "42703"


def test_without_redis_the_database_s_part_is_served() -> None:
    inbox = BacklogInbox()
    inbox.unreachable = True

    state = SharedStateReader(inbox.backlog, lambda: DATABASE, lambda: API)()

    assert state == SharedState(
        dead_letters=2, changes_waiting_seconds=0.5, unsold={"unknown_price": 1}
    )


@pytest.mark.servers
@pytest.mark.parametrize("reconciles", [False, True])
def test_the_age_of_comparisons_is_served_only_where_they_are_scheduled(
    database: str, *, reconciles: bool
) -> None:
    engine = engine_for(database, application_name="test")

    state = read_database_state(engine, reconciles=reconciles)
    engine.dispose()

    assert (state.reconcile_put_in, state.reconcile_agreed_at) == (0, 0.0)
    assert state.reconcile_differences == dict.fromkeys(DIFFERENCE_CLASSES, 0)
    assert state.reconcile_runs_at == (dict.fromkeys(ComparedPart, 0.0) if reconciles else None)


@pytest.mark.servers
def test_objects_that_were_never_compared_are_as_old_as_the_first_comparison(database: str) -> None:
    engine = engine_for(database, application_name="test")
    with engine.begin() as connection:
        connection.execute(
            sa.text(
                "INSERT INTO stripe_runs (kind, realm, actor, state, rate, said) VALUES"
                " ('reconcile', 'test', 'schedule', 'failed', 1, '{\"parts\": [\"events\"]}')"
            )
        )

    ages = read_database_state(engine, reconciles=True).reconcile_runs_at
    engine.dispose()

    assert ages is not None
    assert ages[ComparedPart.EVENTS] == 0.0 < ages[ComparedPart.OBJECTS]


def test_while_redis_is_away_the_processes_needed_are_those_of_the_last_scrape() -> None:
    inbox = BacklogInbox()
    read = SharedStateReader(inbox.backlog, lambda: DATABASE, lambda: API)
    needed = read().workers_needed
    inbox.unreachable = True

    state = read()

    assert (state.workers_needed, state.backlog_events) == (needed, None)
    assert state.dead_letters == DATABASE.dead_letters


def test_an_unreachable_database_leaves_gaps_and_no_error() -> None:
    engine = engine_for("postgresql:///x?host=/nowhere", application_name="test")

    database = read_database_state(engine)
    engine.dispose()

    assert database == DatabaseState()
    state = SharedStateReader(BacklogInbox().backlog, lambda: database, lambda: API)()
    assert state.dead_letters is None


def test_the_database_is_read_at_intervals_and_never_for_a_scrape() -> None:
    now, asked = [0.0], list[int]()

    def ask() -> DatabaseState:
        asked.append(1)
        return DatabaseState(dead_letters=len(asked))

    cache = DatabaseStateCache(ask, lambda: now[0])
    cache.refresh()
    cache.refresh()
    soon = cache.state().dead_letters
    now[0] = DATABASE_STATE_SECONDS
    cache.refresh()

    assert (soon, cache.state().dead_letters) == (1, 2)


def test_a_value_that_no_thread_could_renew_is_not_served() -> None:
    now = [0.0]
    cache = DatabaseStateCache(lambda: DATABASE, lambda: now[0])
    before = cache.state()
    cache.refresh()
    now[0] = STALE_DATABASE_STATE_SECONDS

    assert (before, cache.state()) == (DatabaseState(), DatabaseState())
