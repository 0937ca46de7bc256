import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from workers.shutdown import EndAfterBatch, StopFlag, stop_signals

ENDING = (signal.SIGTERM, signal.SIGHUP)


@contextmanager
def noted(number: signal.Signals) -> Iterator[list[int]]:
    """What this process would have done of a signal, noted instead."""
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
    with noted(number) as came, ending.busy():
        os.kill(os.getpid(), number)
        in_the_middle = list(came), ending.is_asked()

    assert in_the_middle == ([], True)
    assert came == [number]


def test_a_signal_that_somebody_else_sees_to_does_not_come_again() -> None:
    ending = EndAfterBatch(lambda: True)
    with noted(signal.SIGTERM) as came, ending.busy():
        os.kill(os.getpid(), signal.SIGTERM)

    assert (came, ending.is_asked()) == ([], True)


def test_between_two_batches_a_signal_means_what_it_meant_before() -> None:
    ending = EndAfterBatch(lambda: False)
    with noted(signal.SIGTERM) as came:
        with ending.busy():
            pass
        os.kill(os.getpid(), signal.SIGTERM)

    assert (came, ending.is_asked()) == ([signal.SIGTERM], False)


@pytest.mark.parametrize("number", [*ENDING, signal.SIGINT])
def test_every_signal_to_stop_asks_a_supervisor_once_and_for_all(number: signal.Signals) -> None:
    # What ignores hangups, as nohup does, hands that down to whoever it starts: to tests, too.
    with noted(number), stop_signals() as asked:
        before = asked()
        os.kill(os.getpid(), number)
        os.kill(os.getpid(), number)

        assert (before, asked()) == (False, True)


def test_what_was_ignored_when_we_were_started_stays_ignored() -> None:
    kept = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with stop_signals() as asked:
            os.kill(os.getpid(), signal.SIGHUP)

            assert not asked()
    finally:
        signal.signal(signal.SIGHUP, kept)
