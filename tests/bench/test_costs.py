import os
import subprocess

from bench import costs


def test_a_process_that_has_ended_holds_and_costs_nothing() -> None:
    ended = subprocess.Popen(["true"])
    ended.wait()

    assert costs.megabytes(ended.pid) == 0
    assert costs.cpu_seconds([ended.pid]) == 0


def test_a_process_that_lives_holds_memory() -> None:
    assert costs.megabytes(os.getpid()) > 1
    assert costs.cpu_seconds([os.getpid()]) > 0
