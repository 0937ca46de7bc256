"""Shows that worlds fail when one rule of ``billing`` is switched off."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ops.samples.worlds.world import World
from tests.worlds.compare import failures
from tests.worlds.drawing import world_of
from tests.worlds.switches import switched_off


@dataclass(slots=True)
class SwitchTrial:
    """The worlds that were tried without a rule, and what the last of them failed with."""

    worlds: int = 0
    seed: str | None = None
    failure: str | None = None


def try_switches(rules: Iterable[str], seeds: Iterable[str]) -> Mapping[str, SwitchTrial]:
    """Try each rule in worlds that exercise it, until one fails that ends right with the rule.

    Raises:
        LookupError: no switch has one of these names.
    """
    trials = {rule: SwitchTrial() for rule in rules}
    for seed in seeds:
        pending = [rule for rule, trial in trials.items() if trial.failure is None]
        if not pending:
            break
        world = world_of(seed, Counter())
        if world is not None:
            _try(world, [rule for rule in pending if rule in world.rules], trials)
    return trials


def _try(world: World, rules: Iterable[str], trials: Mapping[str, SwitchTrial]) -> None:
    for rule in rules:
        trial = trials[rule]
        trial.worlds += 1
        with switched_off(rule):
            wrong = failures(world, shuffles=0)
        if wrong and not failures(world, shuffles=0):
            trial.seed, trial.failure = world.plan.seed, wrong[0]
