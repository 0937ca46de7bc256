"""Prices, and the plans that older API versions call the same thing."""

from ops.samples.sample_plans import SamplePrice
from ops.samples.scenario import ObjectBuilder
from ops.samples.unread_fields import JsonObject
from ops.samples.worlds.offers import StripePrice
from ops.samples.worlds.rendering import render_plan


def sold(offer: SamplePrice) -> StripePrice:
    """Return a sample price as Stripe knows it."""
    return StripePrice(
        price=offer.price,
        product=offer.product,
        amount=offer.amount,
        interval=offer.interval,
        nickname=offer.nickname,
    )


def plan(builder: ObjectBuilder, offer: SamplePrice) -> JsonObject:
    """Build the price as a plan, which Stripe still sends beside it."""
    return render_plan(sold(offer), builder.shape)
