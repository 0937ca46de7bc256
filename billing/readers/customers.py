"""``customer.*``: whose payments these are, in the application's own terms."""

from billing.envelope import usable_id
from billing.facts import CustomerFields, Kind
from billing.json_fields import Raw, flag, metadata
from billing.readers.reader import Bearing, Occasion, Reader, Told


def _fields(raw: Raw, occasion: Occasion) -> CustomerFields:
    deleted = occasion.event_type == "customer.deleted"
    return CustomerFields(user_id=metadata(raw, "user_id"), deleted=deleted or flag(raw, "deleted"))


def _self(raw: Raw) -> str | None:
    return usable_id(raw.get("id"))


CUSTOMER = Reader(
    kind=Kind.CUSTOMER,
    stripe_name="customer",
    states="Whose the customer is: `metadata.user_id`, which serves whatever says nothing itself.",
    fields=_fields,
    customer=_self,
)
EVENTS = {
    "customer.created": Told(
        CUSTOMER,
        Bearing.LINKS,
        "A customer with a user: what was waiting for that link takes effect.",
    ),
    "customer.updated": Told(
        CUSTOMER,
        Bearing.LINKS,
        "A `metadata.user_id` that changed from one user to another moves everything"
        " stated before.",
    ),
    "customer.deleted": Told(
        CUSTOMER,
        Bearing.LINKS,
        "The last word on the customer. It ends nothing: subscriptions end by their own"
        " events, purchases stay.",
    ),
}
