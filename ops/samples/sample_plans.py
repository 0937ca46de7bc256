"""The prices of the sample plans: the Stripe side of ``demo.toml``."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplePrice:
    """One price; ``interval`` is None for a one-time purchase.

    ``features`` are those that its plan grants in ``demo.toml``.
    """

    price: str
    product: str
    plan_code: str
    nickname: str
    amount: int
    interval: str | None
    features: Mapping[str, bool | int]
    per_seat: frozenset[str] = frozenset()

    def features_for(self, seats: int) -> dict[str, bool | int]:
        """Return the features that ``seats`` of it grant."""
        return {
            name: value * seats if name in self.per_seat else value
            for name, value in self.features.items()
        }


MONTHLY = SamplePrice(
    price="price_premium_monthly",
    product="prod_premium",
    plan_code="premium",
    nickname="Premium monthly",
    amount=2999,
    interval="month",
    features={"signals_enabled": True, "max_devices": 5},
)
TEAM = SamplePrice(
    price="price_team",
    product="prod_team",
    plan_code="team",
    nickname="Team seat",
    amount=1500,
    interval="month",
    features={"max_devices": 1},
    per_seat=frozenset({"max_devices"}),
)
LIFETIME = SamplePrice(
    price="price_lifetime",
    product="prod_lifetime",
    plan_code="lifetime",
    nickname="Lifetime",
    amount=9900,
    interval=None,
    features={"lifetime": True},
)
