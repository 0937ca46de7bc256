"""Subscriptions and their items: where the period stands depends on the shape."""

from collections.abc import Sequence

from ops.samples.api_shapes import Shape
from ops.samples.builders.prices import plan, price
from ops.samples.scenario import MONTH, YEAR, Pen
from ops.samples.shop import Offer
from ops.samples.unread_fields import JsonObject, listed

_PERIODS = {"month": MONTH, "year": YEAR}


def period_of(offer: Offer) -> int:
    """How many seconds one payment of a recurring offer buys."""
    return _PERIODS[offer.interval or "month"]


def subscription(
    pen: Pen,
    offer: Offer,
    *,
    customer_id: str,
    user_id: str | None,
    at: int,
    status: str = "incomplete",
    quantity: int = 1,
    period_end: int | None = None,
) -> JsonObject:
    """A subscription to one offer, in its first period."""
    identifier = pen.id("sub")
    item = subscription_item(pen, offer, subscription_id=identifier, at=at, quantity=quantity)
    bare = pen.write(
        "subscription",
        id=identifier,
        billing_cycle_anchor=at,
        created=at,
        customer=customer_id,
        metadata={} if user_id is None else {"user_id": user_id},
        plan=plan(pen, offer),
        quantity=quantity,
        start_date=at,
        status=status,
    )
    return with_items(pen, bare, [item], period=(at, period_end or at + period_of(offer)))


def subscription_item(
    pen: Pen, offer: Offer, *, subscription_id: str, at: int, quantity: int = 1
) -> JsonObject:
    """One price on a subscription; its period is set by ``with_items``."""
    return pen.write(
        "subscription_item",
        id=pen.id("si", 14),
        created=at,
        plan=plan(pen, offer),
        price=price(pen, offer),
        quantity=quantity,
        subscription=subscription_id,
    )


def with_items(
    pen: Pen, holder: JsonObject, items: Sequence[JsonObject], *, period: tuple[int, int]
) -> JsonObject:
    """The subscription with these items and this period, which moved into the items in basil."""
    dates = {"current_period_start": period[0], "current_period_end": period[1]}
    if pen.shape is Shape.ANCIENT:
        return {**holder, **dates}
    if pen.new:
        items = [{**item, **dates} for item in items]
    item_list = listed(items, f"/v1/subscription_items?subscription={holder['id']}")
    return {**holder, **({} if pen.new else dates), "items": item_list}
