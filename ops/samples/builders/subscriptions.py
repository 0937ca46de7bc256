"""Subscriptions and their items: the place of the period depends on the shape."""

from collections.abc import Sequence

from ops.samples.api_shapes import Shape
from ops.samples.builders.prices import sold
from ops.samples.sample_plans import SamplePrice
from ops.samples.scenario import MONTH, ObjectBuilder
from ops.samples.unread_fields import JsonObject, listed
from ops.samples.worlds.records import Subscription, SubscriptionItem
from ops.samples.worlds.rendering import render, render_item


def subscription(
    builder: ObjectBuilder,
    offer: SamplePrice,
    *,
    customer_id: str,
    user_id: str,
    at: int,
    status: str,
    period_end: int | None,
) -> JsonObject:
    """Build a subscription to one price, in its first period."""
    held = Subscription(
        id=builder.id("sub"),
        customer=customer_id,
        created=at,
        status=status,
        items=(_item(builder, offer, quantity=1, period=(at, period_end or at + MONTH)),),
        metadata={"user_id": user_id},
    )
    return render(held, builder.shape)


def subscription_item(
    builder: ObjectBuilder, offer: SamplePrice, *, subscription_id: str, at: int, quantity: int = 1
) -> JsonObject:
    """Build an item of a subscription; ``with_items`` sets its period."""
    item = _item(builder, offer, quantity=quantity, period=(at, at + MONTH))
    return render_item(subscription_id, at, item, builder.shape)


def _item(
    builder: ObjectBuilder, offer: SamplePrice, *, quantity: int, period: tuple[int, int]
) -> SubscriptionItem:
    return SubscriptionItem(
        id=builder.id("si", 14),
        offer=sold(offer),
        quantity=quantity,
        start=period[0],
        end=period[1],
    )


def with_items(
    builder: ObjectBuilder,
    holder: JsonObject,
    items: Sequence[JsonObject],
    *,
    period: tuple[int, int],
) -> JsonObject:
    """Return the subscription with these items and this period, which basil moved into items."""
    dates = {"current_period_start": period[0], "current_period_end": period[1]}
    if builder.shape is Shape.ANCIENT:
        return {**holder, **dates}
    if builder.new:
        items = [{**item, **dates} for item in items]
    item_list = listed(items, f"/v1/subscription_items?subscription={holder['id']}")
    return {**holder, **({} if builder.new else dates), "items": item_list}
