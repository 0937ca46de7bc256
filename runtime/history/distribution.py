"""Keep durations as numbers in buckets, and compute percentiles from them.

A percentile is interpolated within its bucket, so it is as exact as the bucket is narrow. Each
bucket begins where the one below ends. The last one may have no end.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import inf


@dataclass(frozen=True, slots=True)
class Distribution:
    """The number of measurements in each bucket; ``bounds`` are their highest values, rising."""

    bounds: tuple[float, ...]
    numbers: tuple[int, ...]

    @property
    def total(self) -> int:
        """All measurements."""
        return sum(self.numbers)

    def percentile(self, share: float) -> float | None:
        """Return the value below which this share lies, 0.99 for p99; None without a measurement.

        In a bucket without an end it is the value where that begins.
        """
        wanted, below, lowest = share * self.total, 0, 0.0
        for highest, number in zip(self.bounds, self.numbers, strict=True):
            if number and below + number >= wanted:
                return _between(lowest, highest, (wanted - below) / number)
            below, lowest = below + number, highest
        return None


def distribution_of(numbers: Mapping[float, int]) -> Distribution:
    """Return the distribution with these numbers by bound, in any order."""
    bounds = tuple(sorted(numbers))
    return Distribution(bounds, tuple(numbers[bound] for bound in bounds))


def merge(distributions: Iterable[Distribution]) -> Distribution:
    """Return all measurements in one distribution, also if the bounds are of several releases."""
    numbers: dict[float, int] = {}
    for distribution in distributions:
        for bound, number in zip(distribution.bounds, distribution.numbers, strict=True):
            numbers[bound] = numbers.get(bound, 0) + number
    return distribution_of(numbers)


def _between(lowest: float, highest: float, share: float) -> float:
    if highest == inf:
        return lowest
    return min(lowest + (highest - lowest) * share, highest)
