import threading

from ops.console.pages.refreshed import RefreshedValue
from ops.errors import CommandFailed
from tests.fakes import FakeClock


class CountedReads:
    """Counts its reads; waits for ``let_go`` before each one, and raises ``broken``."""

    def __init__(self) -> None:
        self.reads = 0
        self.value = 0
        self.let_go = threading.Event()
        self.broken: Exception | None = None
        self.let_go.set()

    def read(self) -> int:
        self.let_go.wait()
        self.reads += 1
        if self.broken:
            raise self.broken
        self.value += 1
        return self.value


def test_the_first_one_who_asks_may_wait_for_the_value() -> None:
    source = CountedReads()
    value = RefreshedValue(source.read, name="test", seconds=10)

    assert value.get(wait=30) == 1


def test_who_does_not_wait_gets_nothing_until_it_is_read() -> None:
    source = CountedReads()
    source.let_go.clear()
    value = RefreshedValue(source.read, name="test", seconds=10)

    assert value.get() is None
    source.let_go.set()
    assert value.get(wait=30) == 1


def test_an_old_value_is_given_at_once_and_read_again_meanwhile() -> None:
    source, clock = CountedReads(), FakeClock()
    value = RefreshedValue(source.read, name="test", seconds=10, monotonic=clock.monotonic)
    value.get(wait=30)
    settle(value)

    clock.advance(11)
    source.let_go.clear()
    assert value.get() == 1
    source.let_go.set()
    settle(value)

    assert value.get() == 2
    assert source.reads == 2


def test_a_fresh_value_is_not_read_again() -> None:
    source, clock = CountedReads(), FakeClock()
    value = RefreshedValue(source.read, name="test", seconds=10, monotonic=clock.monotonic)
    value.get(wait=30)
    settle(value)

    clock.advance(9)
    value.get()
    settle(value)

    assert source.reads == 1


def test_a_failed_read_keeps_the_value_and_is_tried_again_later() -> None:
    source, clock = CountedReads(), FakeClock()
    value = RefreshedValue(source.read, name="test", seconds=10, monotonic=clock.monotonic)
    value.get(wait=30)
    settle(value)
    source.broken = CommandFailed("Redis is unreachable")

    clock.advance(11)
    value.get()
    settle(value)
    assert value.get() == 1
    assert source.reads == 2

    source.broken = None
    clock.advance(11)
    value.get()
    settle(value)
    assert value.get() == 2


def settle(value: RefreshedValue[int]) -> None:
    """Wait until no thread reads the value."""
    for thread in threading.enumerate():
        if thread.name == "test":
            thread.join()
