"""Observations of one object that no later one needs."""

from typing import Final

from billing.facts import Fact
from billing.objects.ordering import ObjectHistory

AROUND: Final = 12
"""The number of observations on each side of an older one that decide what it changes."""


def spare_observations(history: ObjectHistory) -> tuple[Fact, ...]:
    """Return the observations that neither the state nor any later observation needs."""
    return ()
