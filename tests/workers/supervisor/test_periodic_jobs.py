import errno

import structlog
from redis.exceptions import ConnectionError as RedisConnectionError

from tests.workers.waiting import until
from workers.supervisor.periodic_jobs import PeriodicJobs

PERIOD = 0.01
"""Shorter than production's second: these tests count runs, and wait for several."""


def test_jobs_run_again_and_again_until_a_stop() -> None:
    done: list[int] = []
    jobs = PeriodicJobs([lambda: done.append(1)], PERIOD)
    jobs.start()

    until(lambda: len(done) > 2)
    jobs.ask_to_stop()
    jobs.join(5)

    assert not jobs.is_alive()


def test_without_redis_the_jobs_are_tried_again_and_one_line_is_logged() -> None:
    done: list[int] = []

    def fail_three_times() -> None:
        done.append(1)
        if len(done) <= 3:
            raise RedisConnectionError("refused")

    jobs = PeriodicJobs([fail_three_times], PERIOD)
    with structlog.testing.capture_logs() as lines:
        jobs.start()
        until(lambda: len(done) > 4)
        jobs.ask_to_stop()
        jobs.join(5)

    assert [line["event"] for line in lines] == ["Redis is unreachable", "Redis is reachable again"]


def test_a_job_that_fails_keeps_no_other_from_running_and_is_logged_once() -> None:
    done: list[int] = []

    def fail() -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    jobs = PeriodicJobs([fail, lambda: done.append(1)], PERIOD)
    with structlog.testing.capture_logs() as lines:
        jobs.start()
        until(lambda: len(done) > 3)
        jobs.ask_to_stop()
        jobs.join(5)

    (line,) = lines
    assert line["loop"] == "periodic-jobs: fail"
    assert "ulimit -n" in line["todo"]
