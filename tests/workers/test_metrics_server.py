import urllib.error
import urllib.request
from datetime import UTC, datetime

import psycopg
import pytest
from redis.exceptions import ConnectionError as RedisAway
from sqlalchemy.exc import OperationalError

from runtime.inbox.entries import Backlog, Breaker
from runtime.settings import Address
from runtime.telemetry import SharedState
from workers.metrics_server import MetricsServer
from workers.state import COUNT_AGAIN_SECONDS, StateReader

NOON = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


def backlog() -> Backlog:
    return Backlog(
        at=NOON,
        events=3,
        oldest_seconds=4.5,
        due=1,
        waiting_seconds=1.0,
        parked=1,
        claimed=1,
        by_lane={},
        drainers=1,
        workers=1,
        processes=2,
        unknown_version=0,
        conflicts=0,
        settlement=7,
        breaker=Breaker(reason="refused", until=NOON),
        counters={},
    )


class FakeInbox:
    away = False

    def backlog(self) -> Backlog:
        if self.away:
            raise RedisAway("refused")
        return backlog()


@pytest.mark.servers
def test_scrapes_are_answered_and_everything_else_is_not_found() -> None:
    server = MetricsServer(Address("127.0.0.1", 0), lambda: b"up 1\n")
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
def test_a_taken_port_is_a_warning_and_no_reason_not_to_work() -> None:
    first = MetricsServer(Address("127.0.0.1", 0), lambda: b"")
    address = first.start()
    assert address is not None

    second = MetricsServer(address, lambda: b"")

    assert second.start() is None
    second.stop()
    first.stop()


def test_the_shared_state_is_the_inbox_s_and_the_dead_letters() -> None:
    state = StateReader(FakeInbox(), lambda: 2, lambda: 0.0)()

    assert state == SharedState(
        backlog_events=3, backlog_oldest_seconds=4.5, dead_letters=2, breaker_open=True
    )


def test_a_server_that_is_away_leaves_gaps_and_no_error() -> None:
    inbox = FakeInbox()
    inbox.away = True

    def count() -> int:
        raise OperationalError("SELECT", {}, psycopg.OperationalError("refused"))

    assert StateReader(inbox, count, lambda: 0.0)() == SharedState()


def test_dead_letters_are_not_counted_for_every_scrape() -> None:
    now, counts = [0.0], list[int]()

    def count() -> int:
        counts.append(1)
        return len(counts)

    read = StateReader(FakeInbox(), count, lambda: now[0])
    read()
    soon = read().dead_letters
    now[0] = COUNT_AGAIN_SECONDS
    later = read().dead_letters

    assert (soon, later) == (1, 2)
