"""Run random worlds through ``billing`` and compare with their true ends.

python -m tests.worlds --worlds 2000 --seed today
python -m tests.worlds --switch-off grace
"""

import argparse
import json
import sys
import time
from collections import Counter
from pathlib import Path

import click

from ops.samples.worlds.scenarios import SCENARIOS, play_scenario
from ops.samples.worlds.truth.evidence import AmbiguousWorldError
from ops.samples.worlds.truth.rules import RULES
from ops.samples.worlds.world import World, WorldPlan, play, without
from tests.worlds.compare import failures, scenario_differences
from tests.worlds.drawing import world_of
from tests.worlds.switching import SwitchTrial, try_switches

SWITCHED_WORLDS = 2000
"""Worlds among which one that a switch breaks must be."""


def main() -> int:
    """Run the worlds that the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m tests.worlds", description=__doc__)
    parser.add_argument("--worlds", type=int, default=200)
    parser.add_argument("--seed", default="1")
    parser.add_argument("--rule", help="only worlds that exercise this rule")
    parser.add_argument("--without", default="", help="no worlds that exercise these rules")
    parser.add_argument("--only", help="one world by its own seed")
    parser.add_argument("--shuffles", type=int, default=5)
    parser.add_argument("--show", type=int, default=3, help="failures that are shrunk and shown")
    parser.add_argument("--scenario", help="one named scenario, or `all`")
    parser.add_argument("--brief", action="store_true", help="each failure in few lines")
    parser.add_argument("--seconds", type=float, help="begin no world after this time")
    parser.add_argument("--at-least", type=int, default=0, help="worlds that each rule needs")
    parser.add_argument("--first", action="store_true", help="stop at the first failure")
    parser.add_argument("--switch-off", help="show that worlds fail without this rule")
    parser.add_argument(
        "--every-switch", action="store_true", help="show that worlds fail without any one rule"
    )
    parser.add_argument("--into", type=Path, default=Path("worlds-failed"))
    asked = parser.parse_args()
    if asked.switch_off or asked.every_switch:
        return run_switches(asked)
    return run_scenarios(asked) if asked.scenario else run(asked)


def run_switches(asked: argparse.Namespace) -> int:
    """Switch rules off one at a time, print what failed, and return the exit code."""
    rules = [asked.switch_off] if asked.switch_off else list(RULES)
    seeds = (f"{asked.seed}/{number}" for number in range(max(asked.worlds, SWITCHED_WORLDS)))
    trials = try_switches(rules, seeds)
    for rule in rules:
        click.echo(f"{rule}: {_shown(trials[rule])}")
    unnoticed = [rule for rule in rules if trials[rule].failure is None]
    click.echo(f"seed {asked.seed}: {len(unnoticed)} of {len(rules)} switches go unnoticed")
    return 1 if unnoticed else 0


def _shown(trial: SwitchTrial) -> str:
    if trial.failure is None:
        return f"OFF, AND NO WORLD OF {trial.worlds} FAILS"
    return f"world {trial.worlds} fails ({trial.seed}): {trial.failure}"


def run_scenarios(asked: argparse.Namespace) -> int:
    """Run named scenarios, write their histories, and return the exit code."""
    failed = 0
    for name in sorted(SCENARIOS) if asked.scenario == "all" else [asked.scenario]:
        world = play_scenario(name)
        wrong = scenario_differences(name, world) + failures(world, asked.shuffles)
        failed += bool(wrong)
        click.echo(
            f"{name}: {'fails' if wrong else 'ends right'}, {write_history(world, asked.into)}"
        )
        for what in wrong:
            click.echo(f"    {what}")
    return 1 if failed else 0


def write_history(world: World, into: Path) -> Path:
    """Write the events of a world as a file that ``paidup send --file`` can send."""
    into.mkdir(exist_ok=True)
    path = into / f"{world.plan.seed.replace('/', '-')}.jsonl"
    path.write_text("".join(f"{json.dumps(event.payload)}\n" for event in world.events))
    return path


def run(asked: argparse.Namespace) -> int:
    """Run, print the failures and the table of rules, and return the exit code."""
    began, failed = time.monotonic(), []
    played = 0
    rules, blamed, ambiguous = Counter[str](), Counter[str](), Counter[str]()
    seeds = [asked.only] if asked.only else [f"{asked.seed}/{n}" for n in range(asked.worlds)]
    for seed in seeds:
        if asked.seconds and time.monotonic() - began > asked.seconds:
            break
        played += 1
        world = world_of(seed, ambiguous)
        if world is None or not _is_asked_for(world, asked):
            continue
        rules.update(world.rules)
        if failures(world, asked.shuffles):
            failed.append(world)
            blamed.update(world.rules)
            if asked.first:
                break
    for world in failed[: asked.show]:
        _report(world, asked)
    _print_table(rules, blamed)
    for reason, times in ambiguous.most_common():
        click.echo(f"{times:6} plans dropped: {reason}")
    rare = [rule for rule in RULES if rules[rule] < asked.at_least]
    if rare:
        click.echo(f"too few worlds exercise {', '.join(rare)}")
    took = time.monotonic() - began
    click.echo(f"seed {asked.seed}: {len(failed)} of {played} worlds fail, {took:.0f} s")
    return 1 if failed or rare else 0


def _print_table(rules: Counter[str], blamed: Counter[str]) -> None:
    for rule in sorted(RULES, key=lambda each: (rules[each], each)):
        click.echo(f"{rules[rule]:6} worlds, {blamed[rule]:6} fail  {rule}: {RULES[rule]}")


def _is_asked_for(world: World, asked: argparse.Namespace) -> bool:
    if world.rules & set(asked.without.split(",")):
        return False
    return asked.rule is None or asked.rule in world.rules


def _shrunk(world: World, shuffles: int) -> World:
    """Drop moves while what remains still fails."""
    smaller = True
    while smaller:
        smaller = False
        for at in reversed(range(len(world.plan.moves))):
            try:
                tried = play(without(world.plan, [at]))
            except AmbiguousWorldError:
                continue
            if failures(tried, shuffles):
                world, smaller = tried, True
    return world


def _report(world: World, asked: argparse.Namespace) -> None:
    small = _shrunk(world, asked.shuffles)
    if asked.brief:
        click.echo(f"--- {small.plan.seed} ({_setting(small.plan)})")
        click.echo(
            f"    {', '.join(move.name for move in small.plan.moves)}: {sorted(small.rules)}"
        )
        for what in failures(small, asked.shuffles):
            click.echo(f"    {what}")
        return
    path = write_history(small, asked.into)
    click.echo(f"--- world {small.plan.seed} ({_setting(small.plan)}), now {small.now}: {path}")
    for event in small.events:
        click.echo(f"    {event.created} {event.type} {event.payload['data']['object'].get('id')}")
    for what in failures(small, asked.shuffles):
        click.echo(f"    {what}")
    click.echo(f"    moves: {', '.join(move.name for move in small.plan.moves)}")
    click.echo(f"    rules: {', '.join(sorted(small.rules))}")


def _setting(plan: WorldPlan) -> str:
    policy = dict(plan.policy) or "default policy"
    return f"{plan.release}, {plan.endpoint.kind} since {plan.endpoint.since}, {policy}"


if __name__ == "__main__":
    sys.exit(main())
