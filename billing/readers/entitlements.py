"""``entitlements.*``: the features that Stripe itself lists for a customer.

The summary has no id, so its customer is its key. Stripe cuts its list at ten entries.
"""

from billing.facts import EntitlementSummaryFields, Kind
from billing.ids import ObjectKey, Realm, summary_key
from billing.json_fields import Raw, customer_in, object_in, objects_in, text_in
from billing.readers.reader import EventEffect, EventType, ReadContext, Reader


def _fields(raw: Raw, _: ReadContext) -> EntitlementSummaryFields:
    held = object_in(raw, "entitlements")
    keys = {text_in(row, "lookup_key") for row in objects_in(raw, "entitlements")}
    whole_list = isinstance(held.get("data"), list) and held.get("has_more", False) is False
    return EntitlementSummaryFields(
        lookup_keys=tuple(sorted(filter(None, keys))), complete=whole_list
    )


def _key(realm: Realm, raw: Raw) -> ObjectKey | None:
    customer_id = customer_in(raw)
    return summary_key(realm, customer_id) if customer_id else None


ENTITLEMENT_SUMMARY = Reader(
    kind=Kind.ENTITLEMENT_SUMMARY,
    describes=(
        "The features that Stripe itself lists for a customer, each of which is then true. A list"
        " that was cut off (`has_more`) grants what it lists and ends nothing."
    ),
    fields=_fields,
    key=_key,
    identified_by="data.object.customer",
)
EVENTS = {
    "entitlements.active_entitlement_summary.updated": EventType(
        ENTITLEMENT_SUMMARY,
        EventEffect.ACCESS,
        "The list as it is now; keyed by customer, since it has no id.",
    )
}
