"""Draws worlds whose end the rules decide."""

from collections import Counter

from ops.samples.worlds.truth.evidence import AmbiguousWorldError
from ops.samples.worlds.world import World, draw_plan, play

TRIES = 8
"""Plans that may be ambiguous before one must not be."""


def world_of(seed: str, ambiguous: Counter[str]) -> World | None:
    """Return the world of a seed, and count why plans were dropped; None if all were."""
    for number in range(TRIES):
        try:
            return play(draw_plan(f"{seed}.{number}" if number else seed))
        except AmbiguousWorldError as error:
            ambiguous[str(error)] += 1
    return None
