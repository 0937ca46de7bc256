"""Histories that other people's customers ran into: each ends right in any order of its events.

They are composed after public reports, which ``expected.toml`` names; the events are made up.
"""

import json
from random import Random

import pytest
from _pytest.mark import ParameterSet

from tests.histories.play import (
    OLD,
    actual_end,
    bodies_of,
    expectations,
    expected_end,
    history_names,
    moment_of,
    plain_catalogue,
    play,
    stated_about,
)

SEEDS = range(5)
API_VERSIONS = {True: "2022-11-15", False: "2025-10-29.clover"}

KNOWN_TO_FAIL: dict[str, tuple[str, ...]] = {}
"""By missing rule, the histories that end wrong today: in each API version, or in the one named.

Remove a history with the rule that makes it end right: the test fails if it ends right here.
"""

MISSING_RULES = {name: rule for rule, names in KNOWN_TO_FAIL.items() for name in names}


def orders_of(name: str) -> list[list[bytes]]:
    """Return the events in order, then shuffled with repetitions."""
    orders = [list(bodies_of(name))]
    for seed in SEEDS:
        chance = Random(seed)  # noqa: S311 - a test that can be repeated
        repeated = [body for body in bodies_of(name) for _ in range(chance.randint(1, 3))]
        chance.shuffle(repeated)
        orders.append(repeated)
    return orders


def with_missing_rule(name: str) -> ParameterSet:
    """Return a history as a parameter that must fail as long as its rule is missing."""
    rule = MISSING_RULES.get(name) or MISSING_RULES.get(name.removesuffix(OLD))
    marks = [pytest.mark.xfail(strict=True, reason=rule)] if rule else []
    return pytest.param(name, marks=marks)


@pytest.mark.parametrize("name", [with_missing_rule(name) for name in history_names()])
def test_a_history_ends_as_it_must(name: str) -> None:
    expected = expected_end(name)

    for bodies in orders_of(name):
        assert actual_end(name, bodies) == expected, stated_about(name)["why"]


@pytest.mark.parametrize("name", history_names())
def test_order_and_repetition_change_no_row_of_a_history(name: str) -> None:
    in_order, *shuffled = (
        play(bodies, plain_catalogue(), moment_of(name)) for bodies in orders_of(name)
    )

    assert all(each == in_order for each in shuffled)


def test_each_history_is_expected_to_end_somehow_and_each_end_has_a_history() -> None:
    assert {name.removesuffix(OLD) for name in history_names()} == set(expectations())


def test_each_history_says_why_and_after_which_report() -> None:
    lacking = [
        name for name, stated in expectations().items() if not stated["why"] or not stated["source"]
    ]

    assert lacking == []


@pytest.mark.parametrize("name", history_names())
def test_the_events_of_a_history_are_in_order_and_in_its_api_version(name: str) -> None:
    events = [json.loads(body) for body in bodies_of(name)]

    assert len({event["id"] for event in events}) == len(events)
    assert [event["created"] for event in events] == sorted(event["created"] for event in events)
    (version,) = {event["api_version"] for event in events}
    assert version == API_VERSIONS[name.endswith(OLD)] or (name.endswith(OLD) and version < "2021")


def test_every_history_that_is_known_to_fail_exists_and_is_listed_once() -> None:
    listed = [name for names in KNOWN_TO_FAIL.values() for name in names]

    assert set(listed) <= {*expectations(), *history_names()}
    assert len(listed) == len(set(listed))
