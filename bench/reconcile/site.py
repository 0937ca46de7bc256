"""Both sides of the measurement: the same company in this process and at the Stripe that serves."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from tests.stripe.company import Company, CompanyPlan, build_company
from tests.stripe.event_series import EventSeries, add_series
from tests.stripe.gaps import PlantedGap, plant_gaps

MONTHS: Final = 4
"""Of the past of the company."""


@dataclass(frozen=True, kw_only=True)
class ReconcileScale:
    """The size of both sides; ``now`` is the Unix time at which the past of both sides ends."""

    events: int
    subscribers: int
    gaps: int
    now: int
    rate: float
    latency: float
    """Seconds that each request to Stripe takes on its way."""


@dataclass(frozen=True, kw_only=True)
class ReconcileSite:
    """The company with its gaps, and the events of its other customers, which all arrived."""

    company: Company
    gaps: Sequence[PlantedGap]
    series: EventSeries

    def expected(self) -> frozenset[tuple[str, str]]:
        """Return the class and the name of the difference that each gap makes."""
        return frozenset((each.expected.classed, each.expected.name) for each in self.gaps)

    def customers(self) -> frozenset[str]:
        """Return the customers who have a gap, and of whom more may differ."""
        return frozenset(each.customer for each in self.gaps)


def build_site(scale: ReconcileScale) -> ReconcileSite:
    """Return the site of a scale; ``python -m tests.stripe`` builds the same one."""
    plan = CompanyPlan(subscribers=scale.subscribers, months=MONTHS, now=scale.now)
    company = build_company(plan)
    gaps = plant_gaps(company, scale.gaps)
    return ReconcileSite(company=company, gaps=gaps, series=add_series(company, scale.events))
