import pytest
import structlog
from redis.exceptions import ConnectionError as RedisAway

from tests.workers.waiting import until
from workers.supervisor.periodic_jobs import Rounds


def test_duties_are_done_again_and_again_until_a_stop() -> None:
    done: list[int] = []
    rounds = Rounds([lambda: done.append(1)], period_seconds=0.01)
    rounds.start()

    until(lambda: len(done) > 2)
    rounds.ask_to_stop()
    rounds.join(5)

    assert not rounds.is_alive()


def test_redis_away_skips_rounds_and_is_told_once() -> None:
    done: list[int] = []

    def away_thrice() -> None:
        done.append(1)
        if len(done) <= 3:
            raise RedisAway("refused")

    rounds = Rounds([away_thrice], period_seconds=0.01)
    with structlog.testing.capture_logs() as lines:
        rounds.start()
        until(lambda: len(done) > 4)
        rounds.ask_to_stop()
        rounds.join(5)

    assert [line["event"] for line in lines] == ["redis away", "redis back"]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_mistake_of_ours_ends_the_rounds_for_the_supervisor_to_see() -> None:
    def mistaken() -> None:
        raise KeyError("x")

    rounds = Rounds([mistaken], period_seconds=0.01)
    rounds.start()
    rounds.join(5)

    assert not rounds.is_alive()
