"""The plan of a backfill: how many objects each list has, and what it costs to read them. Pure.

Stripe does not say how many objects a list has. A sample of it is the page of the newest objects
that were created up to a moment: its objects and the time between them give the density there, and
the densities at several moments give an estimate of the whole.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from math import ceil
from typing import Final

PAGE: Final = 100
"""Objects in one answer: https://docs.stripe.com/api/pagination."""

BESIDES: Final = 2
"""Requests for each list beside its pages: one for the time at Stripe, one for what came since."""

LEAST_READS: Final = 10_000
"""Stripe allows 500 reads for each transaction over 30 days, and at least 10,000 for each account:
https://docs.stripe.com/rate-limits#api-read-request-allocations
"""

_SAMPLED_AFTER: Final = (
    timedelta(days=30),
    timedelta(days=90),
    timedelta(days=180),
    *(timedelta(days=365 * years) for years in range(1, 16)),
)
"""The ages at which a list is sampled, until a sample reaches its end; Stripe began in 2011."""

_END_WITHIN: Final = 8
"""The end of a list is looked for until it is known to an eighth of the list's age."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ListSample:
    """The page of the newest objects created at ``at`` or before; ``more`` if others follow."""

    at: datetime
    objects: int
    newest: datetime | None
    oldest: datetime | None
    more: bool

    @property
    def density(self) -> float:
        """Objects a second."""
        if self.newest is None or self.oldest is None:
            return 0.0
        return self.objects / max((self.newest - self.oldest).total_seconds(), 1.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class ListPlan:
    """One list: the requests that read it; ``exact`` if its objects were counted, not estimated."""

    name: str
    objects: int
    exact: bool
    requests: int

    @classmethod
    def of(cls, name: str, samples: Sequence[ListSample]) -> "ListPlan":
        """Return the plan of a list that was sampled, the newest sample first."""
        objects = estimate(samples)
        exact = not samples[0].more
        pages = max(ceil(objects / PAGE), 1)
        return cls(name=name, objects=objects, exact=exact, requests=pages + BESIDES)


@dataclass(frozen=True, slots=True, kw_only=True)
class BackfillPlan:
    """The lists of one account and mode, and the requests a second at which they are read."""

    lists: Sequence[ListPlan]
    rate: float

    @property
    def objects(self) -> int:
        """Objects in all lists."""
        return sum(each.objects for each in self.lists)

    @property
    def requests(self) -> int:
        """Requests for all lists."""
        return sum(each.requests for each in self.lists)

    @property
    def seconds(self) -> float:
        """Seconds that the requests take at the rate."""
        return self.requests / self.rate

    @property
    def share(self) -> float:
        """The requests as a part of the reads that Stripe allows any account within 30 days."""
        return self.requests / LEAST_READS


def next_sample(samples: Sequence[ListSample], now: datetime) -> datetime | None:
    """Return the moment of the next sample of a list; None if there are enough.

    ``samples`` are those taken so far, the newest moment first.
    """
    if not samples:
        return now
    newest_end = next((each for each in samples if not each.more), None)
    if newest_end is None:
        ages = (age for age in _SAMPLED_AFTER if now - age < samples[-1].at)
        return next((now - age for age in ages), None)
    before = [each for each in samples if each.more]
    if newest_end.objects or not before:
        return None
    gap = before[-1].at - newest_end.at
    return newest_end.at + gap / 2 if gap > (now - newest_end.at) / _END_WITHIN else None


def estimate(samples: Sequence[ListSample]) -> int:
    """Return the number of objects of a list, from samples of which the newest comes first.

    Between two samples the density is taken to change evenly. The last sample that has no more
    objects behind it was counted, and an even density goes on behind one that has.
    """
    return max(round(sum(_parts(samples))), samples[0].objects)


def _parts(samples: Sequence[ListSample]) -> Iterator[float]:
    for newer, older in pairwise(samples):
        if newer.more:
            seconds = ((newer.newest or newer.at) - (older.newest or older.at)).total_seconds()
            yield max(seconds, 0.0) * (newer.density + older.density) / 2
    yield next((each.objects for each in samples if not each.more), samples[-1].objects)
