"""The sample shop: its prices at Stripe, and the plans that grant them, as in ``demo.toml``."""

from collections.abc import Mapping
from typing import Any, Final

from ops.samples.worlds.offers import StripePrice

MONTHLY: Final = StripePrice(
    price="price_premium_monthly",
    product="prod_premium",
    nickname="Premium monthly",
    amount=2999,
)
TEAM: Final = StripePrice(
    price="price_team", product="prod_team", nickname="Team seat", amount=1500
)
LIFETIME: Final = StripePrice(
    price="price_lifetime",
    product="prod_lifetime",
    nickname="Lifetime",
    amount=9900,
    interval=None,
)

PLANS: Final[Mapping[str, Any]] = {
    "plans": {
        "premium": {
            "prices": ["price_premium_monthly", "price_premium_yearly"],
            "grace_days": 7,
            "features": {"signals_enabled": True, "max_devices": 5},
        },
        "team": {"prices": ["price_team"], "per_seat": ["max_devices"]},
        "lifetime": {"prices": ["price_lifetime"], "features": {"lifetime": True}},
    },
    "policy": {
        "refund_full": "end",
        "refund_partial": "keep",
        "dispute_open": "keep",
        "dispute_lost": "end",
    },
}
"""The catalogue under which lifecycles end as they state."""
