"""``customer.subscription.*``: what is subscribed to, and how it stands.

Since basil every item has a period of its own; before, the subscription had one for all. Before
2018 a subscription was one plan and had no items.
"""

from datetime import datetime

from billing.facts import Item, Kind, SubscriptionFields
from billing.json_fields import (
    Raw,
    flag,
    instant,
    metadata,
    reference,
    rows,
    sold_as,
    whole,
    word,
)
from billing.readers.reader import Bearing, Occasion, Reader, Told

_ENDED = ("canceled", "incomplete_expired")


def _fields(raw: Raw, occasion: Occasion) -> SubscriptionFields:
    status = word(raw, "status")
    deleted = occasion.event_type == "customer.subscription.deleted"
    return SubscriptionFields(
        status="canceled" if deleted and status not in _ENDED else status,
        items=_items(raw),
        user_id=metadata(raw, "user_id"),
        cancel_at=instant(raw, "cancel_at"),
        cancel_at_period_end=flag(raw, "cancel_at_period_end"),
        started_at=instant(raw, "start_date") or instant(raw, "created") or instant(raw, "start"),
        ended_at=instant(raw, "ended_at"),
        trial_end=instant(raw, "trial_end"),
    )


def _items(raw: Raw) -> tuple[Item, ...]:
    shared = instant(raw, "current_period_end")
    items = tuple(_item(row, shared) for row in rows(raw, "items"))
    return items or ((_item(raw, shared),) if raw.get("plan") else ())


def _item(row: Raw, shared_period_end: datetime | None) -> Item:
    price, lookup_key, product = sold_as(row)
    quantity = whole(row, "quantity")
    return Item(
        price=price,
        lookup_key=lookup_key,
        product=product,
        # Metered prices have no quantity, and are held once.
        quantity=1 if quantity is None else quantity,
        period_end=instant(row, "current_period_end") or shared_period_end,
    )


def _others(raw: Raw) -> tuple[str | None, ...]:
    return (reference(raw, "latest_invoice"),)


SUBSCRIPTION = Reader(
    kind=Kind.SUBSCRIPTION,
    stripe_name="subscription",
    states=(
        "How the subscription stands: status, items with price, quantity and period, when it ends,"
        " and its user (`metadata.user_id`). `pause_collection` is no status and changes nothing."
    ),
    fields=_fields,
    others=_others,
)
EVENTS = {
    "customer.subscription.created": Told(
        SUBSCRIPTION,
        Bearing.ACCESS,
        "The first snapshot, and the first of its second where nothing else decides.",
    ),
    "customer.subscription.updated": Told(
        SUBSCRIPTION,
        Bearing.ACCESS,
        "Any change; `previous_attributes` order the changes of one second.",
    ),
    "customer.subscription.deleted": Told(
        SUBSCRIPTION,
        Bearing.ACCESS,
        "Ended for good, whatever its status says and whatever comes later.",
    ),
    "customer.subscription.paused": Told(
        SUBSCRIPTION,
        Bearing.ACCESS,
        "Paused, which gives no access; follows the updates of its second.",
    ),
    "customer.subscription.resumed": Told(
        SUBSCRIPTION, Bearing.ACCESS, "Resumed; follows the updates of its second."
    ),
    "customer.subscription.trial_will_end": Told(
        SUBSCRIPTION, Bearing.ORDER, "A reminder with one more snapshot."
    ),
    "customer.subscription.pending_update_applied": Told(
        SUBSCRIPTION, Bearing.ACCESS, "A change that waited for its payment is in force."
    ),
    "customer.subscription.pending_update_expired": Told(
        SUBSCRIPTION,
        Bearing.ORDER,
        "A change that waited for its payment will not come: one more snapshot.",
    ),
}
