"""Send random worlds through a whole system and compare its tables with their true ends.

python -m tests.worlds.system --worlds 200 --seed today
"""

import argparse
import sys
import time
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import click

from ops.samples.worlds.truth.evidence import AmbiguousWorldError
from ops.samples.worlds.world import World
from tests.worlds.__main__ import write_history
from tests.worlds.system.play import draw_world, play_through, running_for_worlds

WORLDS_A_SYSTEM = 50
"""Every change of plans computes the rows of all worlds again, so a system has few of them."""


def main() -> int:
    """Run the worlds that the command line asks for, and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.worlds.system", description=__doc__)
    parser.add_argument("--worlds", type=int, default=20)
    parser.add_argument("--seed", default="1")
    parser.add_argument("--only", help="one world by its own seed")
    parser.add_argument("--into", type=Path, default=Path("worlds-failed"))
    asked = parser.parse_args()
    began, worlds = time.monotonic(), 1 if asked.only else asked.worlds
    seeds = iter([asked.only] if asked.only else _seeds(asked.seed, worlds))
    counts = Counter[str]()
    while share := list(islice(seeds, WORLDS_A_SYSTEM)):
        _run(share, asked.into, counts)
        click.echo(f"{counts['played']} of {worlds} worlds played, {counts['failed']} fail")
    took = time.monotonic() - began
    click.echo(
        f"seed {asked.seed}: {counts['failed']} of {counts['played']} worlds fail,"
        f" {counts['events']} events, {counts['open']} left out, {took:.0f} s"
    )
    return 1 if counts["failed"] or not counts["played"] else 0


def _seeds(seed: str, worlds: int) -> Iterator[str]:
    """Yield the seeds of as many worlds that can be sent, and of those between that cannot."""
    number = sent = 0
    while sent < worlds:
        yield f"{seed}/{number}"
        sent += draw_world(f"{seed}/{number}") is not None
        number += 1


def _run(seeds: list[str], into: Path, counts: Counter[str]) -> None:
    with running_for_worlds() as system:
        for seed in seeds:
            world = draw_world(seed)
            if world is None:
                counts["open"] += 1
                continue
            try:
                wrong = play_through(system, world).wrong
            except AmbiguousWorldError:
                counts["open"] += 1
                continue
            counts["played"] += 1
            counts["events"] += len(world.events)
            if wrong:
                counts["failed"] += 1
                _report(world, wrong, into)


def _report(world: World, wrong: list[str], into: Path) -> None:
    path = write_history(world, into)
    plan = world.plan
    click.echo(f"--- world {plan.seed} ({plan.release}, {plan.endpoint.kind}): {path}")
    click.echo(f"    {', '.join(move.name for move in plan.moves)}: {sorted(world.rules)}")
    for what in wrong:
        click.echo(f"    {what}")


if __name__ == "__main__":
    sys.exit(main())
