from hypothesis import given
from hypothesis import strategies as st

from ops.console.rate_limit import Bucket
from tests.fakes import FakeClock


def test_a_second_of_requests_passes_at_once_and_the_next_must_wait() -> None:
    clock = FakeClock()
    bucket = Bucket(10, clock=clock.monotonic)

    assert [bucket.take() for _ in range(10)] == [0.0] * 10
    assert round(bucket.take(), 6) == 0.1


def test_a_client_that_waits_as_asked_gets_a_turn() -> None:
    clock = FakeClock()
    bucket = Bucket(10, clock=clock.monotonic)
    while not (wait := bucket.take()):
        pass

    clock.advance(wait + 0.001)

    assert bucket.take() == 0.0


def test_resting_saves_up_no_more_than_a_second() -> None:
    clock = FakeClock()
    bucket = Bucket(2, clock=clock.monotonic)
    clock.advance(3600)

    assert [bucket.take() > 0 for _ in range(3)] == [False, False, True]


@given(st.integers(1, 50), st.lists(st.floats(0, 2), max_size=200))
def test_no_client_gets_more_than_the_rate_and_one_burst(rate: int, pauses: list[float]) -> None:
    clock = FakeClock()
    bucket = Bucket(rate, clock=clock.monotonic)
    granted = 0
    for pause in pauses:
        clock.advance(pause)
        granted += bucket.take() == 0.0

    assert granted <= rate + clock.monotonic() * rate + 1e-6
