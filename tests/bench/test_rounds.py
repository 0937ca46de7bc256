import json
from dataclasses import replace
from itertools import pairwise

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


def test_old_customers_pay_later_in_each_part_of_a_course() -> None:
    sample = sampled(SCALE, turn=3)
    old = QUICK.old[0].ids[0]
    parts = (sample.flow, *sample.paced.values(), sample.backlog)
    moments = [[json.loads(body)["created"] for body in events if old in body] for events in parts]

    assert all(max(before) < min(after) for before, after in pairwise(moments))
    assert max(moments[0]) > max(
        json.loads(body)["created"] for body in sampled(SCALE).flow if old in body
    )
