"""Prices, and the plans that older API versions call the same thing."""

from ops.samples.sample_plans import SamplePrice
from ops.samples.scenario import ObjectBuilder
from ops.samples.unread_fields import JsonObject


def plan(builder: ObjectBuilder, offer: SamplePrice) -> JsonObject:
    """Build the price as a plan, which Stripe still sends beside it."""
    return builder.build(
        "plan",
        id=offer.price,
        amount=offer.amount,
        amount_decimal=str(offer.amount),
        interval=offer.interval,
        nickname=offer.nickname,
        product=offer.product,
    )


def price(builder: ObjectBuilder, offer: SamplePrice) -> JsonObject:
    """Build the price."""
    return builder.build(
        "price",
        id=offer.price,
        nickname=offer.nickname,
        product=offer.product,
        recurring={
            "interval": offer.interval,
            "interval_count": 1,
            "trial_period_days": None,
            "usage_type": "licensed",
        },
        type="recurring",
        unit_amount=offer.amount,
        unit_amount_decimal=str(offer.amount),
    )
