import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from workers.shutdown import EndAfterBatch, StopFlag, stop_signals

ENDING = (signal.SIGTERM, signal.SIGHUP)


@contextmanager
def recorded(number: signal.Signals) -> Iterator[list[int]]:
    """Record a signal that would have ended this process."""
    came: list[int] = []
    kept = signal.signal(number, lambda number, _: came.append(number))
    try:
        yield came
    finally:
        signal.signal(number, kept)


def test_a_raised_flag_stays_raised() -> None:
    flag = StopFlag()
    before = flag.is_raised()

    flag.raise_()

    assert (before, flag.is_raised()) == (False, True)


@pytest.mark.parametrize("number", ENDING)
def test_a_signal_in_the_middle_of_a_batch_waits_for_its_end(number: signal.Signals) -> None:
    ending = EndAfterBatch(lambda: False)
    with recorded(number) as came, ending.busy():
        os.kill(os.getpid(), number)
        in_the_middle = list(came), ending.is_asked()

    assert in_the_middle == ([], True)
    assert came == [number]


def test_a_signal_is_not_repeated_where_the_process_ends_anyway() -> None:
    ending = EndAfterBatch(lambda: True)
    with recorded(signal.SIGTERM) as came, ending.busy():
        os.kill(os.getpid(), signal.SIGTERM)

    assert (came, ending.is_asked()) == ([], True)


def test_between_two_batches_the_previous_handler_is_back() -> None:
    ending = EndAfterBatch(lambda: False)
    with recorded(signal.SIGTERM) as came:
        with ending.busy():
            pass
        os.kill(os.getpid(), signal.SIGTERM)

    assert (came, ending.is_asked()) == ([signal.SIGTERM], False)


@pytest.mark.parametrize("number", [*ENDING, signal.SIGINT])
def test_every_stop_signal_stops_a_supervisor_once(number: signal.Signals) -> None:
    # A parent that ignores SIGHUP, such as nohup, passes that on to its children and to tests.
    with recorded(number), stop_signals() as asked:
        before = asked()
        os.kill(os.getpid(), number)
        os.kill(os.getpid(), number)

        assert (before, asked()) == (False, True)


def test_a_sighup_that_was_ignored_at_the_start_stays_ignored() -> None:
    kept = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with stop_signals() as asked:
            os.kill(os.getpid(), signal.SIGHUP)

            assert not asked()
    finally:
        signal.signal(signal.SIGHUP, kept)
