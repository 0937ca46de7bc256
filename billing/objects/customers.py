"""What the facts of one customer, subscription, checkout or feature list amount to.

Each is a pure function of the object's history, so a party keeps it until a fact is added.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from billing.facts import (
    CustomerFields,
)
from billing.ids import ObjectKey
from billing.objects.observations import (
    Observation,
    Said,
    said,
    seen,
)
from billing.objects.ordering import History


@dataclass(frozen=True, slots=True, kw_only=True)
class Customer:
    """A customer's own statements; ``moved`` is the last time it changed from user to user."""

    said: Said
    moved: datetime | None


def read_customer(_: ObjectKey, history: History) -> Customer:
    """Removing the user from a customer's metadata takes nothing back: the last one named stays."""
    facts = seen(history, CustomerFields)
    stated = said((fact.at, fact.fields.user_id) for fact in facts)
    return Customer(said=stated, moved=_last_move(facts))


def _last_move(facts: Sequence[Observation[CustomerFields]]) -> datetime | None:
    """A change is seen between two facts, or within one that says what was before it."""
    moved, known = None, None
    for fact in facts:
        named = fact.fields.user_id
        undone = fact.before.user_id if fact.before else None
        if named is not None and {known, undone} - {None, named}:
            moved = fact.at
        known = named or known
    return moved
