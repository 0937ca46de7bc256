import os
import subprocess
import time

import pytest

from bench import costs


def test_a_process_that_has_ended_holds_and_costs_nothing() -> None:
    ended = subprocess.Popen(["true"])
    ended.wait()

    assert costs.megabytes(ended.pid) == 0
    assert costs.cpu_seconds([ended.pid]) == 0
    with pytest.raises(costs.ProcessEnded, match="measure again"):
        costs.exact_seconds([os.getpid(), ended.pid])


def test_a_process_that_lives_holds_memory() -> None:
    assert costs.megabytes(os.getpid()) > 1
    assert costs.cpu_seconds([os.getpid()]) > 0


def test_the_exact_time_of_a_process_is_that_of_its_own_clock() -> None:
    before = time.process_time()
    exact = costs.exact_seconds([os.getpid()])

    assert before < exact < time.process_time()
    assert costs.exact_seconds([os.getpid()] * 2) > 2 * exact
