"""Both sides of the measurement, built alike in two processes from the same scale."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Final

from bench.reconcile.many_events import TYPE, ManyEvents
from tests.stripe.company import Company, CompanyPlan, build_company
from tests.stripe.gaps import PlantedGap, plant_gaps

_DAY: Final = 86_400
_KEPT_DAYS: Final = 29
_MONTHS: Final = 4


@dataclass(frozen=True, kw_only=True)
class ReconcileScale:
    """How much there is; ``now`` is the Unix time at which the past of both sides ends."""

    events: int
    subscribers: int
    gaps: int
    now: int
    rate: float
    latency: float
    """Seconds that each request to Stripe takes on its way."""

    def to_text(self) -> str:
        """Return it as the argument of another process."""
        return json.dumps(asdict(self))

    @classmethod
    def from_text(cls, text: str) -> "ReconcileScale":
        """Return what ``to_text`` wrote."""
        return cls(**json.loads(text))


@dataclass(frozen=True, kw_only=True)
class ReconcileSite:
    """The company with its gaps, and the events of its other customers, which all arrived."""

    company: Company
    gaps: Sequence[PlantedGap]
    many: ManyEvents


def build_site(scale: ReconcileScale) -> ReconcileSite:
    """Return the site of a scale; it is the same wherever it is built."""
    plan = CompanyPlan(subscribers=scale.subscribers, months=_MONTHS, now=scale.now)
    company = build_company(plan)
    gaps = plant_gaps(company, scale.gaps)
    example = next(each for each in company.events() if each.type == TYPE).payload()
    many = ManyEvents(scale.events, scale.now - _KEPT_DAYS * _DAY, scale.now, example)
    company.stripe.event_sources.append(many)
    return ReconcileSite(company=company, gaps=gaps, many=many)
