from dataclasses import dataclass, field

import pytest
from redis import Redis

from runtime.inbox.entries import Sweep
from runtime.inbox.inbox import Inbox
from workers.supervisor.sweeper import MAX_WAKES, RAMP, Sweeper, SweeperLease


@dataclass
class FakeSweepInbox:
    owed: tuple[str, ...] = ("a", "b", "c", "d")
    open: bool = False
    allowed: list[int] = field(default_factory=list)
    unregistered: list[str] = field(default_factory=list)
    released: list[str] = field(default_factory=list)

    def sweep(self, *, max_wakes: int) -> Sweep:
        self.allowed.append(max_wakes)
        wakes = () if self.open else self.owed[:max_wakes]
        return Sweep(wakes=wakes, reclaimed=0, crashed=0, healed=0)

    def release_orphan(self, token: str) -> Sweep:
        self.released.append(token)
        return Sweep(wakes=("owed",), reclaimed=1, crashed=0, healed=0)

    def unregister(self, token: str) -> None:
        self.unregistered.append(token)

    def breaker_open(self) -> bool:
        return self.open


@dataclass
class FakeBroker:
    sent: list[str] = field(default_factory=list)

    def publish(self, token: str) -> bool:
        self.sent.append(token)
        return True


def test_owed_wake_ups_are_published() -> None:
    inbox, broker = FakeSweepInbox(), FakeBroker()

    Sweeper(inbox, broker.publish).sweep()

    assert broker.sent == ["a", "b", "c", "d"]
    assert inbox.unregistered == []


def test_a_wake_up_the_broker_refuses_is_taken_back() -> None:
    inbox = FakeSweepInbox(owed=("a",))

    Sweeper(inbox, lambda _: False).sweep()

    assert inbox.unregistered == ["a"]


def test_events_of_a_dead_drainer_are_released_and_a_worker_is_woken() -> None:
    inbox, broker = FakeSweepInbox(), FakeBroker()

    Sweeper(inbox, broker.publish).release_orphan("orphan")

    assert (inbox.released, broker.sent) == (["orphan"], ["owed"])


def test_an_open_breaker_lets_few_workers_be_woken_once_it_is_closed() -> None:
    inbox = FakeSweepInbox(open=True)
    sweeper = Sweeper(inbox, lambda _: True)

    sweeper.sweep()
    inbox.open = False
    for _ in range(4):
        sweeper.sweep()

    assert inbox.allowed == [RAMP[0], *RAMP, MAX_WAKES, MAX_WAKES]


@pytest.mark.servers
def test_one_supervisor_holds_the_lease_until_it_releases_it(redis_url: str) -> None:
    with Redis.from_url(redis_url) as client:
        first, second = SweeperLease(Inbox(client).lead), SweeperLease(Inbox(client).lead)

        assert first.hold()
        assert not second.hold()
        assert first.hold()
        first.release()
        assert second.hold()
        assert not first.hold()
        first.release()
        assert second.hold()
