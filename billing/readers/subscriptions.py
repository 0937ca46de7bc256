"""``customer.subscription.*``: the items and the status of a subscription.

Since basil every item has its own period; before, the subscription had one for all. Before 2018 a
subscription had one plan and no items.
"""

from datetime import datetime

from billing.facts import CollectionPause, Item, Kind, SubscriptionFields
from billing.json_fields import (
    Raw,
    enum_in,
    flag_in,
    integer_in,
    is_whole_list,
    objects_in,
    price_names_of,
    reference_in,
    text_in,
    time_in,
    whole_metadata_in,
)
from billing.readers.reader import EventEffect, EventType, ReadContext, Reader

_ENDED = ("canceled", "incomplete_expired")


def _fields(raw: Raw, context: ReadContext) -> SubscriptionFields:
    status = enum_in(raw, "status")
    deleted = context.event_type == "customer.subscription.deleted"
    return SubscriptionFields(
        status="canceled" if deleted and status not in _ENDED else status,
        items=_items(raw),
        cancel_at=time_in(raw, "cancel_at"),
        cancel_at_period_end=flag_in(raw, "cancel_at_period_end"),
        started_at=time_in(raw, "start_date") or time_in(raw, "created") or time_in(raw, "start"),
        ended_at=time_in(raw, "ended_at"),
        trial_end=time_in(raw, "trial_end"),
        metadata=whole_metadata_in(raw),
        items_complete=is_whole_list(raw, "items") or not objects_in(raw, "items"),
        pause=_pause(raw),
        test_clock=reference_in(raw, "test_clock"),
        latest_invoice=reference_in(raw, "latest_invoice"),
        own_created_at=time_in(raw, "created"),
    )


def _pause(raw: Raw) -> CollectionPause | None:
    pause = raw.get("pause_collection")
    if not isinstance(pause, dict):
        return None
    return CollectionPause(
        behavior=enum_in(pause, "behavior"), resumes_at=time_in(pause, "resumes_at")
    )


def _items(raw: Raw) -> tuple[Item, ...]:
    items = tuple(_item(row, raw, text_in(row, "id")) for row in objects_in(raw, "items"))
    return items or ((_item(raw, raw, None),) if raw.get("plan") else ())


def _item(row: Raw, subscription: Raw, item_id: str | None) -> Item:
    price, lookup_key, product = price_names_of(row)
    quantity = integer_in(row, "quantity")
    return Item(
        price=price,
        lookup_key=lookup_key,
        product=product,
        # Metered prices have no quantity and count as one seat.
        quantity=1 if quantity is None else quantity,
        period_end=_period_time("current_period_end", row, subscription),
        id=item_id,
        period_start=_period_time("current_period_start", row, subscription),
    )


def _period_time(name: str, row: Raw, subscription: Raw) -> datetime | None:
    return time_in(row, name) or time_in(subscription, name)


def _references(raw: Raw) -> tuple[str | None, ...]:
    return (reference_in(raw, "latest_invoice"),)


SUBSCRIPTION = Reader(
    kind=Kind.SUBSCRIPTION,
    describes=(
        "The state of the subscription: status, items with price, quantity and period, its end, and"
        " its user (its metadata). `pause_collection` is no status; `[policy]"
        " collection_paused` says whether it takes access away. A list of items that was cut off"
        " (`has_more`) adds and changes items, and removes none. `metadata.plan_code` names the"
        " plan if no catalogue ever knew an item."
    ),
    fields=_fields,
    references=_references,
)
EVENTS = {
    "customer.subscription.created": EventType(
        SUBSCRIPTION,
        EventEffect.ACCESS,
        "The first snapshot, and the first of its second if nothing else decides.",
    ),
    "customer.subscription.updated": EventType(
        SUBSCRIPTION,
        EventEffect.ACCESS,
        "Any change; `previous_attributes` order the changes within one second.",
    ),
    "customer.subscription.deleted": EventType(
        SUBSCRIPTION,
        EventEffect.ACCESS,
        "Ended for good, regardless of its status and of later events.",
    ),
    "customer.subscription.paused": EventType(
        SUBSCRIPTION,
        EventEffect.ACCESS,
        "Paused, which gives no access; comes after the updates of its second.",
    ),
    "customer.subscription.resumed": EventType(
        SUBSCRIPTION, EventEffect.ACCESS, "Resumed; comes after the updates of its second."
    ),
    "customer.subscription.trial_will_end": EventType(
        SUBSCRIPTION, EventEffect.ORDER, "A reminder with one more snapshot."
    ),
    "customer.subscription.pending_update_applied": EventType(
        SUBSCRIPTION, EventEffect.ACCESS, "A change that waited for its payment takes effect."
    ),
    "customer.subscription.pending_update_expired": EventType(
        SUBSCRIPTION,
        EventEffect.ORDER,
        "A change that waited for its payment is dropped: one more snapshot.",
    ),
}
