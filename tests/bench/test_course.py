import pytest

from bench import costs, mixes
from bench.course import Course
from bench.figures import APPLIED, CATCH_UP, END_TO_END, MEMORY, PAIDUP, Figures
from bench.machine import BenchMachine, prepare

pytestmark = pytest.mark.servers


def test_a_course_notes_all_it_takes_under_its_setting(own_machine: BenchMachine) -> None:
    figures = Figures()
    database = own_machine.database("course")
    prepare(database)

    with own_machine.stack(database, 1) as running:
        course = Course(own_machine, running, figures, "tried")
        course.flow(mixes.first(40, "flow"))
        course.paces({100: mixes.first(10, "paced")})
        course.catch_up(mixes.first(40, "backlog"), 10)

    def taken(kind: str, name: str) -> float:
        return figures.median(kind, name, "tried") or 0

    assert {figure.setting for figure in figures.values} == {"tried"}
    assert taken(END_TO_END, PAIDUP) > 0
    assert 0 < taken(APPLIED, "100/s, p50") <= taken(APPLIED, "100/s, p99")
    assert 0 < taken(CATCH_UP, "the first 10 events") <= taken(CATCH_UP, "40 events")
    assert taken(MEMORY, "worker, after the backlog") > 1


def test_an_emptied_redis_gives_back_what_it_took(own_machine: BenchMachine) -> None:
    with own_machine.redis.client() as client:
        client.set("large", b"x" * 50_000_000)
    full = costs.megabytes(own_machine.redis.pid)

    own_machine.empty_redis()

    assert costs.megabytes(own_machine.redis.pid) < full - 40
    with own_machine.redis.client() as client:
        assert client.dbsize() == 0
