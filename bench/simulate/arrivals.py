"""Arrivals of events: when each comes, and of which party.

Parties begin at random and have several events each, within seconds of one another. In a burst they
begin more often. Some events are of a few busy parties, as in the benchmark's mixes.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from heapq import heappop, heappush
from random import Random
from typing import Final, NamedTuple

from bench.mixes import OLD


class Arrival(NamedTuple):
    """An event of one party, and the second in which it comes."""

    seconds: float
    party: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ArrivalPlan:
    """The load: ``rate`` events a second on average, bursts included."""

    rate: float
    seed: int = 1
    events_of_party: int = 8
    gap_seconds: float = 0.5
    """Between two events of a party, on average."""
    burst_factor: float = 3.0
    """The rate in a burst, to that between bursts."""
    burst_seconds: float = 0.5
    burst_every: float = 10.0

    @property
    def quiet_rate(self) -> float:
        """The rate between bursts, so that all together has the rate of the plan."""
        share = self.burst_seconds / self.burst_every
        return self.rate / (1 - share + share * self.burst_factor)

    def arrivals(self, seconds: float) -> Iterator[Arrival]:
        """Yield the events of so many seconds in order."""
        chance = Random(self.seed)  # noqa: S311 - seeded
        coming: list[tuple[float, int, int]] = []
        number = _FIRST_PARTY
        began = self._next_party(chance, -self._span)
        while True:
            while began <= (coming[0][0] if coming else began):
                heappush(coming, (began, number, self.events_of_party))
                number += 1
                began = self._next_party(chance, began)
            at, party, left = heappop(coming)
            if at > seconds:
                return
            if left > 1:
                heappush(coming, (at + chance.expovariate(1 / self.gap_seconds), party, left - 1))
            if at >= 0:
                yield Arrival(at, _busy_party(chance) or party)

    @property
    def _span(self) -> float:
        """The seconds before the first arrival in which parties begin that still have events."""
        return 3 * self.gap_seconds * self.events_of_party

    def _next_party(self, chance: Random, after: float) -> float:
        in_burst = after >= 0 and after % self.burst_every < self.burst_seconds
        rate = self.quiet_rate * (self.burst_factor if in_burst else 1.0)
        return after + chance.expovariate(rate / self.events_of_party)


_FIRST_PARTY: Final = 1 + sum(each.customers for each in OLD)
"""Numbers below it are those of busy parties."""


def _busy_party(chance: Random) -> int | None:
    """Return a busy party for its share of the events, and None for the others."""
    number, first = chance.random(), 1
    for each in OLD:
        if number < 1 / each.every:
            return first + chance.randrange(each.customers)
        number -= 1 / each.every
        first += each.customers
    return None
