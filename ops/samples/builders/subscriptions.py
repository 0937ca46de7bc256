"""Subscriptions and their items: the place of the period depends on the shape."""

from collections.abc import Sequence

from ops.samples.api_shapes import Shape
from ops.samples.builders.prices import plan, price
from ops.samples.sample_plans import SamplePrice
from ops.samples.scenario import MONTH, ObjectBuilder
from ops.samples.unread_fields import JsonObject, listed


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
    identifier = builder.id("sub")
    item = subscription_item(builder, offer, subscription_id=identifier, at=at)
    bare = builder.build(
        "subscription",
        id=identifier,
        billing_cycle_anchor=at,
        created=at,
        customer=customer_id,
        metadata={"user_id": user_id},
        plan=plan(builder, offer),
        quantity=1,
        start_date=at,
        status=status,
    )
    return with_items(builder, bare, [item], period=(at, period_end or at + MONTH))


def subscription_item(
    builder: ObjectBuilder, offer: SamplePrice, *, subscription_id: str, at: int, quantity: int = 1
) -> JsonObject:
    """Build an item of a subscription; ``with_items`` sets its period."""
    return builder.build(
        "subscription_item",
        id=builder.id("si", 14),
        created=at,
        plan=plan(builder, offer),
        price=price(builder, offer),
        quantity=quantity,
        subscription=subscription_id,
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
