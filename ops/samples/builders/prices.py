"""Prices, and the plans that older API versions call the same thing."""

from ops.samples.scenario import Pen
from ops.samples.shop import Offer
from ops.samples.unread_fields import JsonObject


def plan(pen: Pen, offer: Offer) -> JsonObject:
    """The offer as a plan, which stands beside its price to this day."""
    return pen.write(
        "plan",
        id=offer.price,
        amount=offer.amount,
        amount_decimal=str(offer.amount),
        interval=offer.interval,
        nickname=offer.nickname,
        product=offer.product,
    )


def price(pen: Pen, offer: Offer) -> JsonObject:
    """The offer as a price."""
    return pen.write(
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
