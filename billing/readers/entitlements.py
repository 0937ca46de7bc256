"""``entitlements.*``: the features that Stripe itself says a customer has.

The summary has no id, so it is filed under its customer. Its list is cut at ten.
"""

from billing.facts import EntitlementSummaryFields, Kind
from billing.ids import ObjectKey, Realm, summary_key
from billing.json_fields import Raw, customer, rows, table, text
from billing.readers.reader import Bearing, Occasion, Reader, Told


def _fields(raw: Raw, _: Occasion) -> EntitlementSummaryFields:
    held = table(raw, "entitlements")
    keys = {text(row, "lookup_key") for row in rows(raw, "entitlements")}
    whole_list = isinstance(held.get("data"), list) and held.get("has_more", False) is False
    return EntitlementSummaryFields(
        lookup_keys=tuple(sorted(filter(None, keys))), complete=whole_list
    )


def _key(realm: Realm, raw: Raw) -> ObjectKey | None:
    known_as = customer(raw)
    return summary_key(realm, known_as) if known_as else None


ENTITLEMENT_SUMMARY = Reader(
    kind=Kind.ENTITLEMENT_SUMMARY,
    stripe_name="entitlements.active_entitlement_summary",
    states=(
        "The features that Stripe itself lists for a customer, each of which is then true. A list"
        " that was cut off (`has_more`) grants what it lists and ends nothing."
    ),
    fields=_fields,
    key=_key,
    identified_by="data.object.customer",
)
EVENTS = {
    "entitlements.active_entitlement_summary.updated": Told(
        ENTITLEMENT_SUMMARY,
        Bearing.ACCESS,
        "The list as it is now; keyed by customer, since it has no id.",
    )
}
