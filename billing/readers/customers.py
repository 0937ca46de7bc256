"""``customer.*``: the link from a Stripe customer to a user of the application."""

from billing.envelope import usable_id
from billing.facts import CustomerFields, Kind
from billing.json_fields import Raw, flag_in, reference_in, time_in, whole_metadata_in
from billing.readers.reader import EventEffect, EventType, ReadContext, Reader


def _fields(raw: Raw, context: ReadContext) -> CustomerFields:
    deleted = context.event_type == "customer.deleted"
    return CustomerFields(
        deleted=deleted or flag_in(raw, "deleted"),
        metadata=whole_metadata_in(raw),
        test_clock=reference_in(raw, "test_clock"),
        own_created_at=time_in(raw, "created"),
    )


def _self(raw: Raw) -> str | None:
    return usable_id(raw.get("id"))


CUSTOMER = Reader(
    kind=Kind.CUSTOMER,
    describes=(
        "The user of the customer, by its metadata (`[identity] metadata_keys`). It serves every"
        " object whose own metadata names no user."
    ),
    fields=_fields,
    customer=_self,
)
EVENTS = {
    "customer.created": EventType(
        CUSTOMER,
        EventEffect.LINKS,
        "A customer with a user: grants that waited for this link take effect.",
    ),
    "customer.updated": EventType(
        CUSTOMER,
        EventEffect.LINKS,
        "A user in the metadata that changed to another moves what was stated for the former"
        " before, and nothing that was stated for others.",
    ),
    "customer.deleted": EventType(
        CUSTOMER,
        EventEffect.LINKS,
        "The customer is gone. This ends nothing: subscriptions end by their own events,"
        " purchases stay.",
    ),
}
