from dataclasses import dataclass, field

import structlog
from redis.exceptions import ConnectionError as RedisAway

from tests.workers.waiting import until
from workers.supervisor.change_relay import (
    MOST_REST_SECONDS,
    PERIOD_SECONDS,
    REST_SECONDS,
    Relaying,
)


@dataclass
class FakeRelay:
    fails: list[Exception] = field(default_factory=list)
    rounds: int = 0

    def round(self) -> None:
        self.rounds += 1
        if self.fails:
            raise self.fails.pop(0)


def test_only_the_supervisor_that_leads_goes_round() -> None:
    leads, relay = [False], FakeRelay()
    thread = Relaying(relay, lambda: leads[0])
    thread.start()
    before = relay.rounds
    leads[0] = True
    until(lambda: relay.rounds > 0)
    thread.ask_to_stop()
    thread.join(5)

    assert before == 0
    assert not thread.is_alive()


def test_the_last_round_is_after_the_stop() -> None:
    relay = FakeRelay()
    thread = Relaying(relay, lambda: True)
    thread.ask_to_stop()
    thread.run()

    assert relay.rounds == 2


def test_failures_are_told_once_and_end_nothing() -> None:
    relay = FakeRelay([RedisAway("refused"), RedisAway("refused"), KeyError("a mistake")])
    thread = Relaying(relay, lambda: True)

    with structlog.testing.capture_logs() as lines:
        rests = [thread._round() for _ in range(5)]

    assert rests == [REST_SECONDS] * 3 + [PERIOD_SECONDS] * 2
    assert [line["event"] for line in lines] == [
        "entitlement changes wait",
        "entitlement changes are published again",
    ]
    assert "refused" in lines[0]["why"]


def test_a_mistake_of_ours_is_told_with_its_traceback() -> None:
    mistake = KeyError("a mistake")

    with structlog.testing.capture_logs() as lines:
        Relaying(FakeRelay([mistake]), lambda: True)._round()

    assert [line["exc_info"] for line in lines] == [mistake]


def test_a_round_that_took_long_is_followed_by_a_longer_rest() -> None:
    times = iter([0.0, 0.3, 0.0, 60.0])
    thread = Relaying(FakeRelay(), lambda: True, lambda: next(times))

    assert [thread._round(), thread._round()] == [1.2, MOST_REST_SECONDS]
