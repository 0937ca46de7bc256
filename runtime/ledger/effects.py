"""Say from whom a decision takes access, or whose money it moves: what a preview has to name.

A bulk plan that was previewed may do so only to users whom the preview or a person named.
"""

from collections.abc import Iterable, Iterator, Mapping
from math import inf
from typing import Any

from sqlalchemy import Connection, select

from billing.rows import EntitlementRow, PaymentRow
from models.tables import BulkUser
from runtime.database.one_of import one_of
from runtime.ledger.decisions import (
    Decision,
    EntitlementChanged,
    EntitlementGranted,
    EntitlementRevoked,
    MoneyMoved,
)


def users_harmed(decisions: Iterable[Decision]) -> frozenset[str]:
    """Return the users from whom these decisions take access or whose money they move."""
    return frozenset(user for decision in decisions for user in _users_harmed(decision))


def _users_harmed(decision: Decision) -> Iterator[str]:
    match decision:
        case EntitlementGranted() | EntitlementChanged() | EntitlementRevoked():
            if decision.before is not None and takes_access(decision.before, decision.after):
                yield decision.before.user_id
        case MoneyMoved():
            yield from {
                owner_of(row) for row in (decision.before, decision.after, decision.payment) if row
            }
        case _:
            return


def unnamed_in(connection: Connection, plan: int, users: frozenset[str]) -> list[str]:
    """Return those of the users whom neither the preview of the plan nor a person named."""
    query = select(BulkUser.user_id).where(BulkUser.plan == plan, one_of(BulkUser.user_id, users))
    return sorted(users - set(connection.scalars(query)))


def owner_of(payment: PaymentRow) -> str:
    """Return the user of a payment, or the payment itself while its user is unknown."""
    return payment.user_id or payment.payment_ref


def takes_access(before: EntitlementRow | None, after: EntitlementRow | None) -> bool:
    """Return True if the user has less by the second row than by the first."""
    if before is None or not before.active:
        return False
    if after is None or not after.active or after.user_id != before.user_id:
        return True
    return _ends(after) < _ends(before) or _lacks(before.entitlements, after.entitlements)


def _ends(row: EntitlementRow) -> float:
    return inf if row.expires_at is None else row.expires_at.timestamp()


def _lacks(before: Mapping[str, Any], after: Mapping[str, Any]) -> bool:
    return any(_is_less(after.get(name), value) for name, value in before.items())


def _is_less(after: Any, before: Any) -> bool:
    if isinstance(before, int | float) and isinstance(after, int | float):
        return after < before
    return bool(after != before)
