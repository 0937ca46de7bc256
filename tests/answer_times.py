"""Times of many answers, judged so that a busy machine decides no test."""

from collections.abc import Iterable


def answered_within(seconds: Iterable[float], bound: float) -> bool:
    """Return True if 99 of 100 answers took less than ``bound``, and none five times as long.

    A machine that is busy holds up a few requests. A server that waits for another one holds up
    all that come in meanwhile, which is what the tests are after.
    """
    times = sorted(seconds)
    late = sum(time >= bound for time in times)
    return late * 100 <= len(times) and times[-1] < 5 * bound
