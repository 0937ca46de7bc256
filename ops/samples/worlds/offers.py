"""The prices of the worlds at Stripe, and the ``plans.toml`` that may grant them."""

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from typing import Any, Final


@dataclass(frozen=True, slots=True, kw_only=True)
class StripePrice:
    """One price at Stripe; ``interval`` is None for a price that is paid once."""

    price: str
    product: str
    amount: int
    interval: str | None = "month"
    lookup_key: str | None = None
    nickname: str = ""


BASIC: Final = StripePrice(price="price_basic_m", product="prod_basic", amount=1000)
BASIC_YEAR: Final = StripePrice(
    price="price_basic_y", product="prod_basic", amount=10_000, interval="year"
)
BASIC_BY_PRODUCT: Final = StripePrice(price="price_basic_new", product="prod_basic", amount=1100)
PRO: Final = StripePrice(price="price_pro_m", product="prod_pro", amount=2500)
PRO_BY_KEY: Final = StripePrice(
    price="price_1OldPro2024", product="prod_old_pro", amount=2400, lookup_key="pro_monthly"
)
TEAM: Final = StripePrice(price="price_team_seat", product="prod_team", amount=800)
DESK: Final = StripePrice(price="price_desk", product="prod_desk", amount=700)
ADDON: Final = StripePrice(price="price_addon", product="prod_addon", amount=300)
METERED: Final = StripePrice(price="price_metered", product="prod_metered", amount=200)
FREE: Final = StripePrice(price="price_free", product="prod_free", amount=0)
UNKNOWN: Final = StripePrice(price="price_next_year", product="prod_next_year", amount=1900)
LIFETIME: Final = StripePrice(
    price="price_lifetime", product="prod_lifetime", amount=4900, interval=None
)
DAY_PASS: Final = StripePrice(price="price_day", product="prod_day", amount=350, interval=None)
TEAM_ONCE: Final = StripePrice(
    price="price_team_once", product="prod_team", amount=900, interval=None
)
YEAR_ONCE: Final = StripePrice(
    price="price_pro_once", product="prod_pro_once", amount=12_000, interval=None
)
SETUP: Final = StripePrice(price="price_setup", product="prod_basic", amount=1500, interval=None)
CONSULTING: Final = StripePrice(
    price="price_consulting", product="prod_consulting", amount=20_000, interval=None
)
RETIRED: Final = StripePrice(
    price="price_retired", product="prod_retired", amount=3300, interval=None
)
PAYMENT_LINK: Final = "plink_lifetime"

RECURRING: Final = (BASIC, BASIC_YEAR, BASIC_BY_PRODUCT, PRO, PRO_BY_KEY, TEAM, ADDON, METERED)
ONCE: Final = (LIFETIME, DAY_PASS, TEAM_ONCE, YEAR_ONCE)

PLANS: Final[Mapping[str, Any]] = {
    "plans": {
        "basic": {
            "prices": ["price_basic_m", "price_basic_y", "prod_basic"],
            "grace_days": 7,
            "features": {"basic": True, "max_devices": 2},
        },
        "pro": {
            "prices": ["price_pro_m", "pro_monthly", "prod_pro", "price_pro_once"],
            "grace_days": 3,
            "features": {"basic": True, "pro": True, "max_devices": 10},
        },
        "team": {
            "prices": ["price_team_seat", "prod_team"],
            "per_seat": ["seats"],
            "grace_days": 5,
            "features": {"seats": 1},
        },
        "desk": {"prices": ["price_desk"], "per_seat": ["desks"], "features": {}},
        "addon": {"prices": ["price_addon", "prod_addon"], "features": {"addon": True}},
        "metered": {"prices": ["price_metered"], "features": {"api": True}},
        "lifetime": {
            "prices": ["price_lifetime", "prod_lifetime", "plink_lifetime"],
            "features": {"lifetime": True},
        },
        "day_pass": {"prices": ["price_day"], "lasts_days": 1, "features": {"day": True}},
    },
    "policy": {},
    "catalogue": {"nothing": ["price_free"]},
}
"""The catalogue of record of most worlds."""

FORMER: Final[Mapping[str, Any]] = {
    "plans": {
        "retired": {"prices": ["price_retired"], "features": {"retired": True}},
        "lifetime": {"prices": ["price_lifetime"], "features": {"lifetime": True}},
    },
}
"""An earlier catalogue, which knew a plan that is sold no longer."""

GIVEN_PLANS: Final = ("basic", "pro", "team", "addon", "lifetime", "day_pass", "retired")
"""Plans that people give; the catalogue of record may have lost one of them."""

DEFAULT_POLICY: Final[Mapping[str, str]] = {
    "refund_full": "end",
    "refund_partial": "keep",
    "dispute_open": "keep",
    "dispute_lost": "end",
    "subscription_refund_full": "keep",
    "subscription_dispute_open": "keep",
    "subscription_dispute_lost": "keep",
    "collection_paused": "keep",
    "unknown_price": "keep",
}


def plans_with(
    policy: Mapping[str, str], identity: Mapping[str, Any], dropped: str | None = None
) -> dict[str, Any]:
    """Return the document of ``plans.toml`` with these lines of ``[policy]`` and ``[identity]``.

    ``dropped`` is a plan that an earlier document had.
    """
    document = deepcopy(dict(PLANS))
    document["plans"].pop(dropped, None)
    document["policy"] = dict(policy)
    if identity:
        document["identity"] = {name: list(value) for name, value in identity.items()}
    return document


def given_features(code: str) -> tuple[dict[str, bool | int], tuple[str, ...]]:
    """Return what a plan granted when a person gave it, and what of it counts by seat.

    It had a feature then that no catalogue of a world has.
    """
    plan = {**FORMER["plans"], **PLANS["plans"]}[code]
    return {**plan["features"], "early": True}, tuple(plan.get("per_seat", ()))
