from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

import pytest
from sqlalchemy.exc import OperationalError, SQLAlchemyError

from ops.console.newest_cursor import NewestCursor, TooManyWaiting
from runtime.changes.feed import Newest
from tests.ingest.ingest_process import wait_until

LONG = 60.0


def at(cursor: int, epoch: str = "epoch") -> Newest:
    return Newest(cursor=cursor, epoch=epoch)


class CursorReads:
    """A cursor and epoch that the test sets, how often both were read, and the errors reported."""

    def __init__(self, *, most_waiting: int = 8) -> None:
        self.cursor = 7
        self.epoch = "epoch"
        self.broken: SQLAlchemyError | None = None
        self.reads = 0
        self.errors: list[SQLAlchemyError] = []
        self.during: Callable[[], None] = lambda: None
        self.newest = NewestCursor(self, most_waiting=most_waiting, failed=self.errors.append)

    def __call__(self) -> Newest:
        self.reads += 1
        if self.broken:
            raise self.broken
        read = at(self.cursor, self.epoch)
        self.during()
        return read

    def waiting(self, pool: ThreadPoolExecutor, *cursors: int) -> "list[Future[None]]":
        """Begin a wait for each of these cursors."""
        expected = self.newest.waiting + len(cursors)
        waits = [pool.submit(self.newest.wait, at(cursor), LONG) for cursor in cursors]
        wait_until(lambda: self.newest.waiting == expected)
        return waits


def test_without_a_request_that_waits_the_database_is_not_asked() -> None:
    reading = CursorReads()

    reading.newest.look()

    assert reading.reads == 0


def test_one_look_wakes_all_whose_cursor_is_not_the_newest() -> None:
    reading = CursorReads()
    with ThreadPoolExecutor(3) as pool:
        behind, at_it, ahead = reading.waiting(pool, 6, 7, 8)

        reading.newest.look()
        behind.result(timeout=20)
        ahead.result(timeout=20)

        assert not at_it.done()
        assert reading.reads == 1
        reading.cursor = 8
        reading.newest.look()
        at_it.result(timeout=20)


def test_another_epoch_wakes_those_whose_cursor_is_the_newest() -> None:
    reading = CursorReads()
    with ThreadPoolExecutor(1) as pool:
        [waiting] = reading.waiting(pool, 7)
        reading.newest.look()
        assert not waiting.done()

        reading.epoch = "another"
        reading.newest.look()

        waiting.result(timeout=20)


def test_what_was_read_for_earlier_waits_wakes_no_later_one() -> None:
    reading = CursorReads()
    with ThreadPoolExecutor(1) as pool:
        [before] = reading.waiting(pool, 6)
        reading.newest.look()
        before.result(timeout=20)
        reading.cursor = 3  # the database was restored

        [after] = reading.waiting(pool, 3)
        reading.newest.look()

        assert not after.done()
        reading.newest.stop()
        after.result(timeout=20)


def test_while_another_waits_a_wait_is_not_ended_by_a_look_before_it() -> None:
    reading = CursorReads()
    with ThreadPoolExecutor(2) as pool:
        [other] = reading.waiting(pool, 7)
        reading.newest.look()

        [wait] = reading.waiting(pool, 8)  # it read the change that came since that look

        assert not wait.done()
        reading.newest.stop()
        for each in (other, wait):
            each.result(timeout=20)


def test_a_look_that_began_before_a_wait_does_not_end_it() -> None:
    reading = CursorReads()
    began: list[Future[int]] = []

    def reads_at_end() -> int:
        reading.newest.wait(at(8), LONG)
        return reading.reads

    with ThreadPoolExecutor(2) as pool:
        [other] = reading.waiting(pool, 6)

        def begin() -> None:
            began.append(pool.submit(reads_at_end))
            wait_until(lambda: reading.newest.waiting == 2)

        reading.during = begin
        reading.newest.look()
        other.result(timeout=20)
        reading.during = lambda: None
        reading.cursor = 9
        reading.newest.look()

        assert began[0].result(timeout=20) == 2


def test_an_error_is_reported_and_ends_the_waits_of_then() -> None:
    reading = CursorReads()
    with ThreadPoolExecutor(2) as pool:
        waits = reading.waiting(pool, 7, 7)
        reading.broken = OperationalError("select", {}, Exception("away"))
        reading.newest.look()
        for each in waits:
            each.result(timeout=20)
        assert reading.errors == [reading.broken]

        [later] = reading.waiting(pool, 7)
        assert not later.done()
        reading.newest.stop()
        later.result(timeout=20)


def test_a_wait_that_ended_makes_room() -> None:
    reading = CursorReads(most_waiting=1)
    with ThreadPoolExecutor(1) as pool:
        [one] = reading.waiting(pool, 7)
        with pytest.raises(TooManyWaiting):
            reading.newest.wait(at(7), LONG)
        reading.cursor = 8
        reading.newest.look()
        one.result(timeout=20)

    reading.newest.wait(at(8), 0)
    assert reading.newest.waiting == 0
