"""Each rule matters: worlds that exercise it fail once it is switched off."""

from collections.abc import Mapping
from importlib import import_module
from typing import Any

import pytest

from ops.samples.worlds.truth.rules import RULES
from tests.worlds.switches import SWITCHES, switched_off
from tests.worlds.switching import try_switches

SEEDS = [f"switches/{number}" for number in range(2000)]


def named(target: str) -> Any:
    module, _, path = target.partition(":")
    found: Any = import_module(module)
    for name in path.split("."):
        found = getattr(found, name)
    return found


def originals() -> Mapping[str, Any]:
    return {change.target: named(change.target) for each in SWITCHES.values() for change in each}


def test_each_rule_has_a_switch_that_changes_billing() -> None:
    assert set(SWITCHES) == set(RULES)
    assert all(each for each in SWITCHES.values())
    assert all(target.startswith("billing.") for target in originals())


@pytest.mark.parametrize("rule", SWITCHES)
def test_a_switch_replaces_what_it_names_and_puts_it_back(rule: str) -> None:
    before = originals()

    with switched_off(rule):
        changed = {target for target, value in originals().items() if value is not before[target]}
    assert changed == {change.target for change in SWITCHES[rule]}

    assert all(value is before[target] for target, value in originals().items())


def test_a_switch_is_put_back_after_an_error() -> None:
    before = originals()

    with pytest.raises(ZeroDivisionError), switched_off("grace"):
        raise ZeroDivisionError
    assert all(value is before[target] for target, value in originals().items())


def test_a_rule_without_a_switch_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(LookupError, match="use one of one-second"), switched_off("no-such-rule"):
        pass


def test_worlds_fail_without_a_rule_that_they_exercise() -> None:
    trials = try_switches(["status-grants", "refund"], SEEDS)

    assert all(trial.failure for trial in trials.values())


@pytest.mark.slow
def test_worlds_fail_without_any_one_rule() -> None:
    trials = try_switches(RULES, SEEDS)

    assert [rule for rule, trial in trials.items() if trial.failure is None] == []
