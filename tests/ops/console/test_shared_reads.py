from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest
from sqlalchemy import Connection, Engine, QueuePool, create_engine
from sqlalchemy.exc import OperationalError
from sqlalchemy.exc import TimeoutError as NoConnectionLeft

from ops.console.shared_reads import SharedReads
from tests.ingest.ingest_process import wait_until


class CountedKey(int):
    """A number that counts how often it is looked up."""

    looked_up = 0

    def __hash__(self) -> int:
        type(self).looked_up += 1
        return int(self)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, int) and int(self) == int(other)


class CountedQuestion:
    """A question that is answered with how often it was asked, or raises ``broken``."""

    def __init__(self) -> None:
        self.asked = 0
        self.broken: Exception | None = None

    def __call__(self, _: Connection) -> int:
        self.asked += 1
        if self.broken:
            raise self.broken
        return self.asked


def pooled(size: int, *, timeout: float = 60) -> Engine:
    return create_engine(
        "sqlite://",
        connect_args={"check_same_thread": False},
        poolclass=QueuePool,
        pool_size=size,
        max_overflow=0,
        pool_timeout=timeout,
    )


@pytest.fixture
def engine() -> Iterator[Engine]:
    engine = pooled(1)
    yield engine
    engine.dispose()


@pytest.fixture
def question() -> CountedQuestion:
    return CountedQuestion()


def read_at_once(
    engine: Engine, *reads: Callable[[], int], lookups: int, pool: ThreadPoolExecutor
) -> "list[Future[int]]":
    """Begin reads while no connection is free, and return once their keys were looked up."""
    CountedKey.looked_up = 0
    with engine.connect():
        begun = [pool.submit(read) for read in reads]
        wait_until(lambda: CountedKey.looked_up >= lookups)
    return begun


def test_equal_reads_that_wait_for_a_connection_share_one_statement(
    engine: Engine, question: CountedQuestion
) -> None:
    shared = SharedReads[int](engine)
    with ThreadPoolExecutor(5) as pool:
        reads = [lambda: shared.read(CountedKey(7), question)] * 5
        begun = read_at_once(engine, *reads, lookups=6, pool=pool)

        assert [each.result(timeout=20) for each in begun] == [1] * 5

    assert shared.read(CountedKey(7), question) == 2


def test_other_reads_have_statements_of_their_own(
    engine: Engine, question: CountedQuestion
) -> None:
    shared = SharedReads[int](engine)
    with ThreadPoolExecutor(2) as pool:
        reads = [lambda: shared.read(CountedKey(7), question)]
        reads += [lambda: shared.read(CountedKey(8), question)]
        begun = read_at_once(engine, *reads, lookups=4, pool=pool)

        assert {each.result(timeout=20) for each in begun} == {1, 2}


def test_a_read_that_has_begun_is_not_joined(question: CountedQuestion) -> None:
    engine = pooled(2)
    shared = SharedReads[int](engine)
    with ThreadPoolExecutor(1) as pool:

        def during(_: Connection) -> int:
            return 10 + pool.submit(shared.read, 7, question).result(timeout=20)

        assert shared.read(7, during) == 11
    engine.dispose()


def test_an_error_is_raised_to_all_that_share_the_read_and_to_no_later_one(
    engine: Engine, question: CountedQuestion
) -> None:
    shared = SharedReads[int](engine)
    question.broken = OperationalError("select", {}, Exception("away"))
    with ThreadPoolExecutor(3) as pool:
        reads = [lambda: shared.read(CountedKey(7), question)] * 3
        begun = read_at_once(engine, *reads, lookups=4, pool=pool)
        assert [each.exception(timeout=20) for each in begun] == [question.broken] * 3
    question.broken = None

    assert shared.read(CountedKey(7), question) == 2


def test_a_read_that_got_no_connection_is_not_joined(question: CountedQuestion) -> None:
    engine = pooled(1, timeout=0.01)
    shared = SharedReads[int](engine)
    with engine.connect(), pytest.raises(NoConnectionLeft):
        shared.read(7, question)

    assert shared.read(7, question) == 1
    engine.dispose()
