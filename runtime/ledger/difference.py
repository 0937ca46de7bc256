"""The decisions that turn the rows before into the rows after.

Pure. Decisions come in the order of tables and keys, so one difference always gives one list.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import TypeVar, cast

from billing.rows import CustomerRow, EntitlementRow, Key, PaymentRow, PurchaseRow, SubscriptionRow
from runtime.ledger.decisions import (
    Decision,
    EntitlementChanged,
    EntitlementGranted,
    EntitlementRevoked,
    Noted,
    RowDeleted,
    RowUpserted,
)
from runtime.ledger.money_movements import movements
from runtime.ledger.rows import Row, Rows, TableName

R = TypeVar("R", bound=Row)
Pair = tuple[R | None, R | None]

_TABLES = tuple(TableName)
_NO_VERSIONS: Mapping[Key, int] = {}


def difference(
    before: Rows, after: Rows, versions: Mapping[Key, int] = _NO_VERSIONS
) -> tuple[Decision, ...]:
    """Return the decisions; none if both sides are the same.

    ``versions`` are those of the plans beside the grants before, by key.
    """
    return tuple(
        [
            decision
            for table in _TABLES
            if before[table] != after[table]
            for decision in _in_table(table, before[table], after[table], versions)
        ]
    )


def _in_table(
    table: TableName,
    before: Mapping[Key, Row],
    after: Mapping[Key, Row],
    versions: Mapping[Key, int],
) -> Iterator[Decision]:
    pairs = {key: (before.get(key), after.get(key)) for key in before.keys() | after.keys()}
    changed = sorted(key for key, (old, new) in pairs.items() if old != new)
    for key in changed:
        row = after.get(key)
        yield RowDeleted(table=table, key=key) if row is None else RowUpserted(table=table, row=row)
    yield from _meaning(table, [pairs[key] for key in changed], versions)


def _meaning(
    table: TableName, pairs: list[tuple[Row | None, Row | None]], versions: Mapping[Key, int]
) -> Iterator[Decision]:
    match table:
        case TableName.CUSTOMERS:
            yield from _each(_customer, cast("list[Pair[CustomerRow]]", pairs))
        case TableName.SUBSCRIPTIONS:
            yield from _each(_subscription, cast("list[Pair[SubscriptionRow]]", pairs))
        case TableName.PURCHASES:
            purchases = _renamed(cast("list[Pair[PurchaseRow]]", pairs), _same_line)
            purchases = _renamed(purchases, _same_purchase)
            yield from _each(_purchase, purchases)
        case TableName.PAYMENTS:
            payments = cast("list[Pair[PaymentRow]]", pairs)
            yield from movements(payments)
            yield from _each(_payment, payments)
        case TableName.ENTITLEMENTS:
            grants = _renamed(cast("list[Pair[EntitlementRow]]", pairs), _same_grant)
            yield from _each(partial(_entitlement, versions), grants)


def _each(
    meaning: Callable[[R | None, R | None], Decision | None], pairs: list[Pair[R]]
) -> Iterator[Decision]:
    for before, after in pairs:
        decision = meaning(before, after)
        if decision is not None:
            yield decision


def _renamed(pairs: list[Pair[R]], identity: Callable[[R], Key]) -> list[Pair[R]]:
    """Pair a row that vanished with a new one of the same meaning: it is one row with a new key."""
    gone: dict[Key, list[R]] = defaultdict(list)
    for old, new in pairs:
        if old is not None and new is None:
            gone[identity(old)].append(old)
    present = [
        (gone[identity(new)].pop(), new) if old is None and gone.get(identity(new)) else (old, new)
        for old, new in pairs
        if new is not None
    ]
    return present + [(old, None) for rest in gone.values() for old in rest]


def _same_line(row: PurchaseRow) -> Key:
    # Lines of one plan and price differ by their id alone; only what a checkout sold without lines
    # gets one later, when its invoice is known.
    return (*_same_purchase(row), row.line)


def _same_purchase(row: PurchaseRow) -> Key:
    return (row.realm, row.user_id or "", row.plan_code or "", row.price or "", row.status)


def _same_grant(row: EntitlementRow) -> Key:
    return (row.realm, row.user_id, row.plan_code, str(row.active))


def _customer(before: CustomerRow | None, after: CustomerRow | None) -> Noted | None:
    old = before.user_id if before else None
    new = after.user_id if after else None
    row = after or before
    if row is None or old == new:
        return None
    action = "linked" if old is None else "unlinked" if new is None else "moved"
    return Noted(
        action=f"customer.{action}",
        target_type="customer",
        target_id=row.stripe_customer_id,
        user_id=new or old,
        before=before,
        after=after,
    )


def _subscription(before: SubscriptionRow | None, after: SubscriptionRow | None) -> Noted | None:
    row = after or before
    if row is None or (before and after and _terms(before) == _terms(after)):
        return None
    return Noted(
        action="subscription.changed" if after else "subscription.removed",
        target_type="subscription",
        target_id=row.stripe_subscription_id,
        user_id=row.user_id,
        before=before,
        after=after,
    )


def _terms(row: SubscriptionRow) -> tuple[object, ...]:
    return (row.user_id, row.status, row.prices, row.cancel_at_period_end)


def _purchase(before: PurchaseRow | None, after: PurchaseRow | None) -> Noted | None:
    row = after or before
    if row is None:
        return None
    return Noted(
        action=_purchase_action(before, after),
        target_type="purchase",
        target_id=row.purchase_ref,
        user_id=row.user_id,
        before=before,
        after=after,
    )


def _purchase_action(before: PurchaseRow | None, after: PurchaseRow | None) -> str:
    if after is None:
        return "purchase.removed"
    if before is None or before.status != after.status:
        return f"purchase.{after.status}"
    return "purchase.changed" if before.key == after.key else "purchase.renamed"


def _payment(before: PaymentRow | None, after: PaymentRow | None) -> Noted | None:
    row = after or before
    action = _payment_action(before, after)
    if row is None or action is None:
        return None
    return Noted(
        action=action,
        target_type="payment",
        target_id=row.payment_ref,
        user_id=row.user_id,
        before=before,
        after=after,
    )


def _payment_action(before: PaymentRow | None, after: PaymentRow | None) -> str | None:
    """Return what happened to the payment besides money, which ``movements`` reports."""
    if after is None:
        return "payment.removed"
    if after.dispute_status != (before and before.dispute_status):
        return "payment.disputed"
    if before is None:
        return None if after.amount_minor else f"payment.{after.status}"
    if after.user_id != before.user_id:
        return "payment.reassigned"
    if after.status != before.status and after.amount_minor == before.amount_minor:
        return f"payment.{after.status}"
    return None


def _entitlement(
    versions: Mapping[Key, int], before: EntitlementRow | None, after: EntitlementRow | None
) -> Decision | None:
    version = versions.get(before.key) if before else None
    was, now = bool(before and before.active), bool(after and after.active)
    if after and now and not was:
        return EntitlementGranted(before=before, after=after, before_version=version)
    if before and was and not now:
        return EntitlementRevoked(before=before, after=after, before_version=version)
    if before and after and was and now and _worth(before) != _worth(after):
        return EntitlementChanged(before=before, after=after, before_version=version)
    return None


def _worth(row: EntitlementRow) -> tuple[object, ...]:
    return (row.source, row.entitlements, row.per_seat, row.starts_at, row.expires_at)
