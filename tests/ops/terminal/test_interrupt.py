import os
import signal
import threading
import time
from collections.abc import Iterator

import pytest

from ops.terminal.interrupt import Interrupted, Interruption

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@pytest.fixture
def interruption() -> Iterator[Interruption]:
    before = {number: signal.getsignal(number) for number in SIGNALS}
    yield Interruption()
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_ends_the_next_wait_and_nothing_before(
    interruption: Interruption, number: signal.Signals
) -> None:
    os.kill(os.getpid(), number)
    os.kill(os.getpid(), number)

    with pytest.raises(Interrupted):
        interruption.pause(0)


def test_a_wait_that_has_begun_ends_soon(interruption: Interruption) -> None:
    threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGTERM)).start()
    started = time.monotonic()

    with pytest.raises(Interrupted):
        interruption.pause(30)

    assert time.monotonic() - started < 5


def test_without_a_signal_it_is_a_sleep(interruption: Interruption) -> None:
    started = time.monotonic()

    interruption.pause(0.15)

    assert time.monotonic() - started >= 0.15
