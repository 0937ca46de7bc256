"""Whichever process dies, no accepted event is lost and none is applied twice."""

import time
from threading import Thread

import pytest
from sqlalchemy import text

from ops.samples.api_shapes import Shape
from ops.samples.lifecycles.registry import SCENARIOS
from ops.samples.scenario import Event
from ops.send.delivery import ACCEPTED, BUSY, DeliveryClient, EndpointResponse
from ops.send.load import send_all
from ops.send.traffic import TrafficPlan
from tests.answer_times import answered_within
from tests.system.stack_env import StackUnderTest

pytestmark = pytest.mark.servers

EVENTS = 2000


def traffic(now: int, *, count: int) -> TrafficPlan:
    """Return every lifecycle in both shapes, shuffled."""
    return TrafficPlan(
        scenarios=tuple(SCENARIOS),
        shapes=(Shape.OLD, Shape.NEW),
        seed=f"{now}",
        now=now,
        count=count,
        shuffle=now,
    )


def assert_none_lost_or_doubled(system: StackUnderTest, sent: TrafficPlan) -> None:
    events = list(sent.events())
    system.await_settled((event.id for event in events), seconds=60)
    for lifecycle in sent.lifecycles():
        assert (lifecycle.name, system.differences(lifecycle.expected)) == (lifecycle.name, ())
    with system.engine.connect() as connection:
        rows = connection.execute(text("SELECT count(*) FROM stripe_events")).scalar_one()
        dead = connection.execute(text("SELECT count(*) FROM dead_letters")).scalar_one()
        granted = text(
            "SELECT count(*) FROM audit_logs WHERE action = 'entitlement.granted'"
            " GROUP BY user_id, target_id, event_id ORDER BY 1 DESC LIMIT 1"
        )
        assert connection.execute(granted).scalar_one() == 1
    assert (rows, dead) == (len(events), 0)


def test_a_killed_worker_loses_and_doubles_nothing(own_system: StackUnderTest, now: int) -> None:
    sent = traffic(now, count=160)
    assert sent.deliveries >= EVENTS
    worker = own_system.stack.worker
    assert worker is not None
    sending = Thread(
        target=send_all,
        args=(sent.events(), own_system.endpoint, own_system.secret),
        kwargs={"concurrency": 4},
    )

    sending.start()
    for share in (0.2, 0.5):
        _await_rows(own_system, int(sent.deliveries * share))
        worker.kill()
        time.sleep(0.3)
        _revive(own_system)
    sending.join()

    assert_none_lost_or_doubled(own_system, sent)


def _await_rows(system: StackUnderTest, least: int) -> None:
    until = time.monotonic() + 30
    with system.engine.connect() as connection:
        while connection.execute(text("SELECT count(*) FROM stripe_events")).scalar_one() < least:
            assert time.monotonic() < until
            time.sleep(0.01)


def _revive(system: StackUnderTest) -> None:
    worker = system.stack.worker
    assert worker is not None
    until = time.monotonic() + 30
    while not worker.is_alive():
        assert time.monotonic() < until
        system.stack.restart_ended()
        time.sleep(0.05)


@pytest.mark.parametrize("fault", ["killed", "frozen"])
def test_without_redis_ingest_refuses_at_once_and_loses_nothing(
    own_system: StackUnderTest, now: int, fault: str
) -> None:
    rate, seconds = 500, 4
    sent = traffic(now, count=rate * seconds // 12)
    redis = own_system.stack.redis
    assert redis is not None
    answers: dict[str, EndpointResponse] = {}
    senders = _send_once(own_system, list(sent.events()), rate, answers)

    time.sleep(1)
    redis.kill() if fault == "killed" else redis.freeze()
    time.sleep(1.5)
    redis.start() if fault == "killed" else redis.thaw()
    for sender in senders:
        sender.join()

    times = [answer.seconds for answer in answers.values()]
    statuses = {answer.status for answer in answers.values()}
    assert statuses == {ACCEPTED, BUSY}
    assert answered_within(times, 1.0), sorted(times)[-20:]
    busy = [answer for answer in answers.values() if answer.status == BUSY]
    assert all(answer.retry_after for answer in busy)
    own_system.await_settled(
        event_id for event_id, answer in answers.items() if answer.status == ACCEPTED
    )
    totals = send_all(sent.events(), own_system.endpoint, own_system.secret, concurrency=4)
    assert totals.all_taken
    assert_none_lost_or_doubled(own_system, sent)


def _send_once(
    system: StackUnderTest, events: list[Event], rate: int, answers: dict[str, EndpointResponse]
) -> list[Thread]:
    """Start to send each event once, at its time, however the earlier ones end."""
    started, threads = time.monotonic(), 32

    def send(first: int) -> None:
        client = DeliveryClient(system.endpoint, system.secret)
        for number in range(first, len(events), threads):
            time.sleep(max(0.0, started + number / rate - time.monotonic()))
            answers[events[number].id] = client.post(events[number].body)
        client.close()

    senders = [Thread(target=send, args=(first,)) for first in range(threads)]
    for sender in senders:
        sender.start()
    return senders
