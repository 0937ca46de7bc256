"""Entitlements."""

from dataclasses import dataclass
from datetime import datetime

from billing.facts import (
    EntitlementSummaryFields,
)
from billing.ids import CustomerId, ObjectKey, stripe_id_of
from billing.objects.observations import (
    Observation,
    seen,
)
from billing.objects.ordering import History


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """The features that Stripe says a customer has; ``complete`` until a list was cut."""

    customer_id: CustomerId
    lookup_keys: tuple[str, ...]
    last_known: tuple[str, ...]
    """The features of the newest list that had any, for a row that is no longer in force."""
    since: datetime
    state: Observation[EntitlementSummaryFields]
    complete: bool
    guessed: bool


def read_summary(key: ObjectKey, history: History) -> Summary:
    """A cut list grants what it lists and ends nothing that the lists before it granted."""
    facts = seen(history, EntitlementSummaryFields)
    keys: tuple[str, ...] = ()
    last_known: tuple[str, ...] = ()
    for fact in facts:
        kept = () if fact.fields.complete else keys
        keys = tuple(dict.fromkeys((*kept, *fact.fields.lookup_keys)))
        last_known = keys or last_known
    return Summary(
        customer_id=CustomerId(stripe_id_of(key).removeprefix("entitlements/")),
        lookup_keys=keys,
        last_known=last_known,
        since=facts[0].at,
        state=facts[-1],
        complete=facts[-1].fields.complete,
        guessed=history.guessed,
    )
