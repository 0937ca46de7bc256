"""The state of a customer."""

from dataclasses import dataclass

from billing.facts import CustomerFields
from billing.ids import ObjectKey
from billing.objects.observations import last_value, observations
from billing.objects.ordering import ObjectHistory
from billing.objects.user_statements import UserStatements, fold_user_statements


@dataclass(frozen=True, slots=True, kw_only=True)
class CustomerState:
    """The words of a customer's own metadata over time.

    ``clocked`` is True if the customer lives in the time of a test clock.
    """

    user_statements: UserStatements
    clocked: bool


def fold_customer(_: ObjectKey, history: ObjectHistory) -> CustomerState:
    """Return the state of a customer."""
    facts = observations(history, CustomerFields)
    made_at = last_value(fact.fields.own_created_at for fact in facts)
    return CustomerState(
        user_statements=fold_user_statements(facts, made_at),
        clocked=any(fact.fields.test_clock for fact in facts),
    )
