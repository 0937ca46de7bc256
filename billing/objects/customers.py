"""The state of a customer."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from billing.facts import (
    CustomerFields,
)
from billing.ids import ObjectKey
from billing.objects.observations import (
    Observation,
    UserReferences,
    fold_user_references,
    observations,
)
from billing.objects.ordering import ObjectHistory


@dataclass(frozen=True, slots=True, kw_only=True)
class CustomerState:
    """The users a customer named; ``moved_at`` is the last change from one user to another.

    ``clocked`` is True if the customer lives in the time of a test clock.
    """

    user_references: UserReferences
    moved_at: datetime | None
    clocked: bool


def fold_customer(_: ObjectKey, history: ObjectHistory) -> CustomerState:
    """Return the state of a customer.

    Removing the user from the metadata changes nothing: the last named user stays.
    """
    facts = observations(history, CustomerFields)
    stated = fold_user_references((fact.at, fact.fields.user_id) for fact in facts)
    return CustomerState(
        user_references=stated,
        moved_at=_last_move(facts),
        clocked=any(fact.fields.test_clock for fact in facts),
    )


def _last_move(facts: Sequence[Observation[CustomerFields]]) -> datetime | None:
    """Return the last change of user, between two facts or within one that carries both."""
    moved_at, known = None, None
    for fact in facts:
        named = fact.fields.user_id
        undone = fact.before.user_id if fact.before else None
        if named is not None and {known, undone} - {None, named}:
            moved_at = fact.at
        known = named or known
    return moved_at
