"""Events that wait for Stripe's API are claimed, or the fetch pool is started again."""

import pytest
import redis

from runtime.inbox.entries import Deferred
from runtime.inbox.fetch_lane import FetchLane
from runtime.inbox.inbox import Inbox
from runtime.time_limits import FETCH_STUCK_SECONDS
from tests.runtime.inbox.entry_builders import event, let_time_pass
from workers.supervisor.fetch_watch import FetchWatch

pytestmark = pytest.mark.servers


class FetchWatchScene:
    """A fetch lane with one event, and a watch whose clock the test sets."""

    def __init__(self, url: str) -> None:
        self.client = redis.Redis.from_url(url, protocol=2)
        self.inbox = Inbox(self.client)
        self.lane = FetchLane.beside(self.inbox, at_once=1)
        self.now = 0.0
        self.published: list[str] = []
        self.broker_works = True
        self.watch = FetchWatch(self.lane, self._publish, lambda: self.now)
        self.inbox.accept(event(1))
        self.inbox.claim("drainer")
        self.lane.defer("drainer", [Deferred(key="evt_1")])
        let_time_pass(self.client, 5)

    def check(self, after: float = 0.0) -> None:
        self.now += after
        self.watch.check(self.inbox.backlog())

    def _publish(self, token: str) -> bool:
        self.published.append(token)
        return self.broker_works


@pytest.fixture
def scene(redis_url: str) -> FetchWatchScene:
    return FetchWatchScene(redis_url)


def test_one_fetcher_is_woken_once(scene: FetchWatchScene) -> None:
    scene.check()
    scene.check(1)

    assert len(scene.published) == 1


def test_a_wake_up_that_was_not_sent_is_owed_again(scene: FetchWatchScene) -> None:
    scene.broker_works = False

    scene.check()
    scene.check(1)

    assert len(scene.published) == 2


def test_a_pool_that_claims_nothing_for_long_is_stuck(scene: FetchWatchScene) -> None:
    scene.check()
    scene.check(1)
    scene.check(FETCH_STUCK_SECONDS - 1)
    assert not scene.watch.is_stuck

    scene.check(2)

    assert scene.watch.is_stuck


def test_a_pool_that_claims_is_not_stuck(scene: FetchWatchScene) -> None:
    scene.check()
    scene.check(1)
    scene.lane.claim("fetcher", wake=None)
    scene.lane.leave("fetcher", hand_on=False)
    scene.check(FETCH_STUCK_SECONDS + 1)

    assert not scene.watch.is_stuck


def test_a_pool_is_not_stuck_while_fetching_pauses(scene: FetchWatchScene) -> None:
    scene.lane.pause("429", 300)
    scene.check()
    scene.check(1)
    scene.check(FETCH_STUCK_SECONDS + 1)

    assert not scene.watch.is_stuck
    assert scene.published == []
