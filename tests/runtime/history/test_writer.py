"""Reports of several processes meet in a real Redis, within bounds of time and memory."""

from collections.abc import Iterator

import pytest
import redis
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from ops.up.servers.redis_server import Redis
from runtime.history.reader import history_of
from runtime.history.reports import (
    BACKLOG,
    DEAD_LETTERS,
    OLDEST_DUE,
    Report,
    ingest_totals,
    worker_totals,
)
from runtime.history.spans import DAY, HOUR, HistorySpan
from runtime.history.writer import HistoryWriter, pause_until_next
from runtime.telemetry import build_metrics
from runtime.time_limits import HISTORY_SPREAD_SECONDS
from tests.runtime.inbox.entry_builders import PREFIX, Client

MOST_BYTES = 1024 * 1024
NOT_WRITTEN = "the history is not written; its charts have a gap"
WRITTEN_AGAIN = "the history is written again"


@pytest.fixture
def client(redis_url: str) -> Iterator[Client]:
    with redis.Redis.from_url(redis_url, protocol=2) as client:
        yield client


def report(client: Client, kind: str = "ingest", /, **counts: int) -> None:
    HistoryWriter(client, kind, lambda: Report(counts=counts)).report()  # type: ignore[arg-type]


def fields(client: Client, span: HistorySpan) -> list[dict[str, int]]:
    """Return the intervals of a span, one or two: the end of one may lie between two reports."""
    texts = client.hvals(f"{PREFIX}{span.key}")
    pairs = [[pair.split("=") for pair in text.decode().split()] for text in texts]
    return [{name: int(value) for name, value in each} for each in pairs]


def total(client: Client, span: HistorySpan, name: str) -> int:
    return sum(each.get(name, 0) for each in fields(client, span))


def seconds_of(client: Client) -> float:
    seconds, microseconds = client.time()
    return float(seconds + microseconds / 1e6)


def ended_last(span: HistorySpan, now: float) -> int:
    """Return the start of the interval in which the short one lies that ended last."""
    short = (now - HOUR.seconds / 2) // HOUR.seconds * HOUR.seconds
    return int(short // span.seconds * span.seconds)


def fill(client: Client, span: HistorySpan, text: str) -> None:
    for place in range(span.places):
        client.hset(f"{PREFIX}{span.key}", str(place), f"at={place} {text}")


@given(st.floats(0, 1e10), st.floats(0, HISTORY_SPREAD_SECONDS))
def test_the_next_report_comes_soon_after_the_end_of_an_interval(now: float, spread: float) -> None:
    pause = pause_until_next(now, spread)
    after_an_end = (now + pause - spread) % HOUR.seconds

    assert HOUR.seconds / 2 < pause <= HOUR.seconds * 1.5
    assert min(after_an_end, HOUR.seconds - after_an_end) < 1e-4


@pytest.mark.servers
def test_counts_of_all_processes_are_added_up_in_both_spans(client: Client) -> None:
    report(client, accepted=2, refused=1)
    report(client, accepted=3)

    for span in (HOUR, DAY):
        assert total(client, span, "accepted") == 5
        assert total(client, span, "refused") == 1
        assert client.pttl(f"{PREFIX}{span.key}") > 0


@pytest.mark.servers
def test_the_highest_level_of_an_interval_stays(client: Client) -> None:
    for backlog in (3, 7, 5):
        levels = {"backlog": backlog}
        HistoryWriter(client, "leader", lambda levels=levels: Report(levels=levels)).report()  # type: ignore[misc]

    for span in (HOUR, DAY):
        assert max(each["backlog"] for each in fields(client, span)) == 7


@pytest.mark.servers
def test_what_is_reported_is_read_as_the_interval_that_ended_last(client: Client) -> None:
    before = seconds_of(client)
    report(client, accepted=2)
    after = seconds_of(client)

    for span in (HOUR, DAY):
        texts = client.hvals(f"{PREFIX}{span.key}")
        intervals = history_of(span, texts, now=after + 2 * HOUR.seconds).intervals
        ((start, ingest),) = [(each.start, each.ingest) for each in intervals if each.ingest]
        assert ingest.accepted == 2
        assert ended_last(span, before) <= start.timestamp() <= ended_last(span, after)


@pytest.mark.servers
def test_a_long_interval_counts_the_short_ones_with_a_report_and_not_the_reports(
    client: Client,
) -> None:
    for _ in range(3):
        report(client)
        report(client, "worker")

    assert total(client, HOUR, "ingest") == 3
    assert total(client, DAY, "ingest") == len(fields(client, HOUR))

    client.delete(f"{PREFIX}{HOUR.key}")
    before = total(client, DAY, "ingest")
    report(client)

    assert total(client, DAY, "ingest") == before + 1


@pytest.mark.servers
def test_memory_has_a_bound_that_no_number_of_processes_reaches(client: Client) -> None:
    metrics = build_metrics()
    names = [*ingest_totals(metrics), *worker_totals(metrics), BACKLOG, OLDEST_DUE, DEAD_LETTERS]
    text = " ".join(f"{name}={2**53}" for name in (*names, "ingest", "worker", "leader"))
    for span in (HOUR, DAY):
        fill(client, span, text)

    report(client, accepted=1)

    used = sum(client.memory_usage(f"{PREFIX}{span.key}", samples=0) for span in (HOUR, DAY))
    assert used < MOST_BYTES
    for span in (HOUR, DAY):
        assert client.hlen(f"{PREFIX}{span.key}") == span.places
        assert [each for each in fields(client, span) if each.get("accepted") == 1]


@pytest.mark.servers
def test_a_full_server_takes_no_history_and_the_process_says_so_once(own_redis: Redis) -> None:
    with own_redis.client() as client:
        writer = HistoryWriter(client, "ingest", lambda: Report(counts={"accepted": 1}))
        client.config_set("maxmemory", "1")
        with capture_logs() as lines:
            writer.report()
            writer.report()
            assert client.exists(f"{PREFIX}{HOUR.key}") == 0
            client.config_set("maxmemory", "256mb")
            writer.report()

        assert [line["event"] for line in lines] == [NOT_WRITTEN, WRITTEN_AGAIN]
        assert total(client, HOUR, "accepted") == 1


@pytest.mark.servers
def test_a_server_that_is_away_costs_the_report_and_nothing_else(own_redis: Redis) -> None:
    with own_redis.client() as client:
        writer = HistoryWriter(client, "ingest", Report)
        own_redis.stop()

        with capture_logs() as lines:
            writer.report()

    assert [line["event"] for line in lines] == [NOT_WRITTEN]
    assert writer.pause_seconds() == HOUR.seconds


@pytest.mark.servers
def test_a_process_with_nothing_to_report_writes_nothing(client: Client) -> None:
    HistoryWriter(client, "leader", lambda: None).report()

    assert client.keys("*") == []
