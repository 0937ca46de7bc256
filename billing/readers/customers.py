"""``customer.*``: whose payments these are, in the application's own terms."""

from billing.envelope import usable_id
from billing.facts import CustomerFields, Kind
from billing.readers.raw import Raw, flag, metadata
from billing.readers.reader import Occasion, Reader


def _fields(raw: Raw, occasion: Occasion) -> CustomerFields:
    deleted = occasion.event_type == "customer.deleted"
    return CustomerFields(user_id=metadata(raw, "user_id"), deleted=deleted or flag(raw, "deleted"))


def _self(raw: Raw) -> str | None:
    return usable_id(raw.get("id"))


CUSTOMER = Reader(kind=Kind.CUSTOMER, stripe_name="customer", fields=_fields, customer=_self)
EVENTS = {
    "customer.created": CUSTOMER,
    "customer.updated": CUSTOMER,
    "customer.deleted": CUSTOMER,
}
