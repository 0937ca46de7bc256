from dataclasses import replace

from bench.course import PACES
from bench.rounds import QUICK, sampled

SCALE = replace(QUICK, events=20, seconds=2, backlog=50)


def test_a_short_course_has_as_much_flowing_less_at_each_pace_and_a_part_of_the_backlog() -> None:
    much, little = sampled(SCALE), sampled(SCALE.reduced)

    assert little.flow == much.flow
    assert {rate: len(events) for rate, events in little.paced.items()} == dict(
        zip(PACES, PACES, strict=True)
    )
    assert little.backlog == much.backlog[:10]


def test_salted_events_are_other_ones() -> None:
    assert not set(sampled(SCALE.reduced).backlog) & set(sampled(SCALE.reduced, ", 1").backlog)
