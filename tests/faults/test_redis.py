"""Redis is frozen, killed, disconnected, full, misconfigured, or loses its power."""

import random
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path

import pytest
import redis

from ops.up.servers.postgres_server import Postgres
from ops.up.servers.redis_server import Redis
from tests.answer_times import answered_within
from tests.faults.fault_env import (
    LOOK_SECONDS,
    FaultSite,
    FaultyIngest,
    ingesting,
    one_try_client,
    open_loop,
    revived,
    trickle,
    workers,
)
from tests.faults.power import SpiedRedis, cut_power, spy
from tests.faults.purchases import event_id, purchase, purchases
from tests.workers.waiting import until

pytestmark = pytest.mark.servers

MAX_ANSWER_SECONDS = 1.0
RECOVERY_SECONDS = 2.0


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["frozen", "refused", "unanswered"])
def test_t02_without_redis_every_answer_is_503_within_a_second_at_500_a_second(
    site_with_own_redis: FaultSite, own_redis: Redis, fault: str
) -> None:
    site, rate, connections = site_with_own_redis, 500, 200
    with ingesting(site) as ingest:
        loop = open_loop(ingest, range(rate * 7), rate=rate, connections=connections)
        time.sleep(2)
        with _unreachable(own_redis, fault):
            gone_at = time.monotonic()
            time.sleep(2.5)
            back_at = time.monotonic()
        until(lambda: ingest.ready, seconds=RECOVERY_SECONDS, why="it recovers")
        recovered_at = time.monotonic()
        loop.join()

        answers = loop.answers
        during_outage = {a.status for at, a in answers if gone_at + 1 < at < back_at - 0.1}
        after = {a.status for at, a in answers if at > recovered_at + 0.5}
        assert {answer.status for _, answer in answers} == {202, 503}
        times = [answer.seconds for _, answer in answers]
        assert answered_within(times, MAX_ANSWER_SECONDS), sorted(times)[-20:]
        assert (during_outage, after) == ({503}, {202})
        assert all(a.retry_after for _, a in answers if a.status == 503)
    with workers(site):
        site.check_result()


@contextmanager
def _unreachable(server: Redis, fault: str) -> Iterator[None]:
    if fault == "frozen":
        server.freeze()
        yield
        server.thaw()
        return
    server.kill()
    with _silent_listener(server.port) if fault == "unanswered" else nullcontext():
        yield
    server.start()


@contextmanager
def _silent_listener(port: int) -> Iterator[None]:
    """Listen on Redis' port with a full backlog: further connections get no answer."""
    callers: list[socket.socket] = []
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
        listener.listen(0)
        for _ in range(4):
            caller = socket.socket()
            caller.settimeout(0)
            with suppress(BlockingIOError):
                caller.connect(("127.0.0.1", port))
            callers.append(caller)
        yield
        for caller in callers:
            caller.close()


@pytest.mark.slow
def test_t10_a_frozen_redis_thaws_and_workers_go_on_within_ten_seconds(
    site_with_own_redis: FaultSite, own_redis: Redis
) -> None:
    site = site_with_own_redis
    with workers(site) as worker:
        worker.until_ready()
        with trickle(site, rate=100, names=int):
            until(lambda: site.settled_count() > 50)
            own_redis.freeze()
            time.sleep(7)
            own_redis.thaw()
            least = site.settled_count() + 50
            until(lambda: site.settled_count() >= least, seconds=10, why="work goes on")
        site.check_result()


@pytest.mark.slow
def test_t11_redis_is_killed_five_times_under_load(
    site_with_own_redis: FaultSite, own_redis: Redis
) -> None:
    site = site_with_own_redis
    with workers(site) as worker:
        worker.until_ready()
        with trickle(site, rate=200, names=int):
            for _ in range(5):
                least = site.settled_count() + 60
                until(lambda least=least: site.settled_count() >= least, seconds=40)  # type: ignore[misc]
                own_redis.kill()
                time.sleep(0.3)
                own_redis.start()
        assert revived(worker, site) is worker, "a supervisor outlives its Redis"
        site.check_result()


@pytest.mark.slow
def test_t12_every_connection_to_redis_is_cut_again_and_again(
    site_with_own_redis: FaultSite, own_redis: Redis
) -> None:
    site, operator = site_with_own_redis, one_try_client(own_redis.url, LOOK_SECONDS)
    with workers(site) as worker:
        worker.until_ready()
        with trickle(site, rate=200, names=int):
            for _ in range(15):
                operator.client_kill_filter(_type="normal", skipme=True)
                time.sleep(0.4)
        site.check_result()
    operator.close()


@pytest.mark.slow
@pytest.mark.parametrize("appendfsync", ["always", "everysec"])
def test_t13_acknowledged_events_survive_a_power_cut_with_always_and_not_with_everysec(
    site_with_own_redis: FaultSite,
    redis_binary: Path,
    tmp_path: Path,
    chance: random.Random,
    appendfsync: str,
) -> None:
    server = SpiedRedis(tmp_path / "spied", redis_binary, spy(tmp_path), appendfsync)
    server.start()
    try:
        site = FaultSite(site_with_own_redis.database_url, server.url, site_with_own_redis.log)
        lost = [
            number
            for round_ in range(3)
            for number in _lost_in_a_cut(site, server, round_, chance.uniform(0.4, 1.2))
        ]
        if appendfsync == "always":
            assert lost == []
            with workers(site):
                site.check_result()
        else:
            assert lost != [], "the test must notice lost events"
        site.close()
    finally:
        server.stop()


def _lost_in_a_cut(site: FaultSite, server: SpiedRedis, round_: int, seconds: float) -> list[str]:
    """Accept until a power cut; return the acknowledged ids of this round that are lost."""
    sent: list[str] = []
    with trickle(site, rate=1000, names=lambda n: f"{round_}-{n}") as tried:
        time.sleep(seconds)
        cut_power(server)
        sent = list(tried)
    server.start()
    acknowledged = [id_ for id_ in sent if id_ in site.answers.acknowledged]
    return [peeked.key for peeked in site.inbox.peek(acknowledged) if peeked.state == "absent"]


def test_t14_a_redis_that_is_not_durable_is_refused(
    site_with_own_redis: FaultSite, own_redis: Redis
) -> None:
    site = site_with_own_redis
    site.redis.config_set("appendfsync", "everysec")
    with ingesting(site, ready=False) as ingest:
        assert (ingest.ready, ingest.deliver("unsafe").status) == (False, 503)
        site.redis.config_set("appendfsync", "always")
        until(lambda: ingest.ready, seconds=5, why="it checks again")
        assert ingest.deliver("safe").status == 202
    with workers(site):
        site.check_result()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("setting", "wrong", "right"),
    [
        ("appendfsync", "everysec", "always"),
        ("appendonly", "no", "yes"),
        ("maxmemory-policy", "allkeys-lru", "noeviction"),
    ],
)
def test_t14_a_redis_that_becomes_unsafe_is_noticed(
    site_with_own_redis: FaultSite, setting: str, wrong: str, right: str
) -> None:
    site = site_with_own_redis
    with ingesting(site) as ingest:
        site.redis.config_set(setting, wrong)
        until(lambda: not ingest.ready, seconds=10, why="it noticed")
        assert ingest.deliver("unsafe").status == 503
        site.redis.config_set(setting, right)
        until(lambda: ingest.ready, seconds=10, why="it noticed the repair")
        assert ingest.deliver("safe").status == 202
    with workers(site):
        site.check_result()


@pytest.mark.slow
def test_t15_redis_fills_up_while_postgresql_is_unreachable(
    site_of_its_own: FaultSite, own_redis: Redis, own_postgres: Postgres
) -> None:
    site = site_of_its_own
    with workers(site) as worker, ingesting(site) as ingest:
        worker.until_ready()
        ingest.deliver("before")
        site.until_drained()
        site.engine.dispose()
        own_postgres.stop()
        used = int(site.redis.info("memory")["used_memory"])
        site.redis.config_set("maxmemory", used + (8 << 20))
        refused = _deliver_until_refused(site, ingest)
        memory = site.redis.info("memory")
        assert memory["used_memory"] < memory["maxmemory"] * 0.95, "refused before it was full"
        _fill(site.redis)
        assert ingest.deliver("when_full").status == 503
        until(lambda: bool(site.inbox.breaker_open()), why="the breaker opened")
        own_postgres.start()
        site.redis.config_set("maxmemory", 256 << 20)
        site.redis.delete("filler")
        site.check_result()

    assert refused == 503


def _deliver_until_refused(site: FaultSite, ingest: FaultyIngest) -> int:
    """Send large events at about 1 MB/s; return the status of the first that is refused."""
    padding = "x" * 20_000
    for number in range(2000):
        answer = ingest.post(purchase(number, padding=padding))
        site.answers.took(event_id(number), acknowledged=answer.taken)
        if not answer.taken:
            return answer.status
        time.sleep(0.02)
    return 0


def _fill(client: redis.Redis) -> None:
    with suppress(redis.ResponseError):
        while True:
            client.append("filler", "x" * 100_000)
    with suppress(redis.ResponseError):
        while True:
            client.append("filler", "x" * 100)


@pytest.mark.slow
@pytest.mark.parametrize("when", ["at work", "not yet started"])
def test_t15_a_redis_that_stays_full_is_drained_though_no_wake_up_can_be_sent(
    site_with_own_redis: FaultSite, own_redis: Redis, when: str
) -> None:
    """Celery cannot work there; a fallback process drains the events."""
    site = site_with_own_redis
    site.take_quietly(range(300))
    if when == "not yet started":
        _fill_up(site.redis)
    with workers(site) as worker:
        if when == "at work":
            worker.until_ready()
            site.take_quietly(range(300, 600))
            _fill_up(site.redis)
        site.check_result()
        site.redis.ping()
        with pytest.raises(redis.ResponseError, match="maxmemory"):
            site.redis.set("anything", "more")
        assert worker.stop() == 0

    assert when == "at work" or "a fallback process drains" in site.log.read_text()


def _fill_up(client: redis.Redis) -> None:
    """Set the memory limit below what is used, as another program or an operator may."""
    client.config_set("maxmemory", 1 << 20)
    with pytest.raises(redis.ResponseError):
        client.set("anything", "more")


def test_t20_a_redis_that_forgot_everything_costs_no_second_application(
    site_with_own_redis: FaultSite,
) -> None:
    site = site_with_own_redis
    with workers(site) as worker:
        worker.until_ready()
        site.take(range(30))
        site.until_drained()
        site.redis.flushall()
        again = [site.inbox.accept(envelope).status for envelope in purchases(range(30))]
        site.take(range(30, 40))
        site.check_result()

    assert set(again) == {"accepted"}
