"""The state of a customer's entitlement summary."""

from dataclasses import dataclass
from datetime import datetime

from billing.facts import (
    EntitlementSummaryFields,
)
from billing.ids import CustomerId, ObjectKey, stripe_id_of
from billing.objects.observations import (
    Observation,
    observations,
)
from billing.objects.ordering import ObjectHistory


@dataclass(frozen=True, slots=True, kw_only=True)
class EntitlementSummaryState:
    """The features that Stripe lists for a customer; ``complete`` is False for a cut list."""

    customer_id: CustomerId
    lookup_keys: tuple[str, ...]
    last_known: tuple[str, ...]
    """The features of the newest list that had any, for a row that is no longer in force."""
    since: datetime
    newest: Observation[EntitlementSummaryFields]
    complete: bool
    guessed: bool


def fold_summary(key: ObjectKey, history: ObjectHistory) -> EntitlementSummaryState:
    """Return the state of a summary.

    A cut list grants what it lists and ends nothing that earlier lists granted.
    """
    facts = observations(history, EntitlementSummaryFields)
    keys: tuple[str, ...] = ()
    last_known: tuple[str, ...] = ()
    for fact in facts:
        kept = () if fact.fields.complete else keys
        keys = tuple(dict.fromkeys((*kept, *fact.fields.lookup_keys)))
        last_known = keys or last_known
    return EntitlementSummaryState(
        customer_id=CustomerId(stripe_id_of(key).removeprefix("entitlements/")),
        lookup_keys=keys,
        last_known=last_known,
        since=facts[0].at,
        newest=facts[-1],
        complete=facts[-1].fields.complete,
        guessed=history.guessed,
    )
