import pytest
from hypothesis import given
from hypothesis import strategies as st

from ops.demo.stopwatch import Stopwatch

SECONDS = st.lists(st.floats(min_value=0, max_value=1000), min_size=1, max_size=6)


def run(steps: list[float]) -> Stopwatch:
    """Return a stopwatch whose parts, named by numbers, took so many seconds."""
    now = [50.0]
    stopwatch = Stopwatch(lambda: now[0])
    for number, step in enumerate(steps):
        now[0] += step
        stopwatch.end(str(number))
    return stopwatch


@given(SECONDS)
def test_the_parts_as_they_are_shown_add_up_to_the_whole(steps: list[float]) -> None:
    stopwatch = run(steps)

    tenths = sum(round(float(f"{seconds:.1f}") * 10) for seconds in stopwatch.parts.values())
    assert tenths == round(float(f"{stopwatch.total:.1f}") * 10)
    assert stopwatch.total == pytest.approx(sum(steps), abs=0.051)


@given(SECONDS)
def test_each_part_is_its_own_time(steps: list[float]) -> None:
    assert list(run(steps).parts.values()) == pytest.approx(steps, abs=0.101)


def test_a_part_ends_however_it_ends() -> None:
    now = [0.0]
    stopwatch = Stopwatch(lambda: now[0])

    def broken() -> None:
        with stopwatch.part("starting"):
            now[0] += 2
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        broken()
    assert stopwatch.parts == {"starting": 2.0}
