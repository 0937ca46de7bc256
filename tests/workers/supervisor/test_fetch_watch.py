"""Events that wait for Stripe's API are taken by somebody, or somebody is started again."""

import pytest
import redis

from runtime.inbox.entries import Deferred
from runtime.inbox.fetch_lane import FetchLane
from runtime.inbox.inbox import Inbox
from tests.runtime.inbox.entry_builders import event, let_time_pass
from workers.supervisor.fetch_watch import PATIENCE_SECONDS, FetchGuard

pytestmark = pytest.mark.servers


class Scene:
    """A lane with one event, and a guard whose clock the test holds."""

    def __init__(self, url: str) -> None:
        self.client = redis.Redis.from_url(url, protocol=2)
        self.inbox = Inbox(self.client)
        self.lane = FetchLane.beside(self.inbox, at_once=1)
        self.now = 0.0
        self.published: list[str] = []
        self.broker_works = True
        self.guard = FetchGuard(self.lane, self._publish, lambda: self.now)
        self.inbox.accept(event(1))
        self.inbox.claim("drainer")
        self.lane.defer("drainer", [Deferred(key="evt_1")])
        let_time_pass(self.client, 5)

    def look(self, after: float = 0.0) -> None:
        self.now += after
        self.guard.look(self.inbox.backlog())

    def _publish(self, token: str) -> bool:
        self.published.append(token)
        return self.broker_works


@pytest.fixture
def scene(redis_url: str) -> Scene:
    return Scene(redis_url)


def test_somebody_is_woken_once(scene: Scene) -> None:
    scene.look()
    scene.look(1)

    assert len(scene.published) == 1


def test_a_wake_up_that_was_not_sent_is_owed_again(scene: Scene) -> None:
    scene.broker_works = False

    scene.look()
    scene.look(1)

    assert len(scene.published) == 2


def test_nobody_coming_for_long_means_that_the_pool_is_stuck(scene: Scene) -> None:
    scene.look()
    scene.look(1)
    scene.look(PATIENCE_SECONDS - 1)
    assert not scene.guard.is_stuck

    scene.look(2)

    assert scene.guard.is_stuck


def test_somebody_coming_means_that_it_is_not(scene: Scene) -> None:
    scene.look()
    scene.look(1)
    scene.lane.claim("fetcher", wake=None)
    scene.lane.leave("fetcher", hand_on=False)
    scene.look(PATIENCE_SECONDS + 1)

    assert not scene.guard.is_stuck


def test_nobody_has_to_come_while_the_api_is_left_alone(scene: Scene) -> None:
    scene.lane.rest("429", 300)
    scene.look()
    scene.look(1)
    scene.look(PATIENCE_SECONDS + 1)

    assert not scene.guard.is_stuck
    assert scene.published == []
