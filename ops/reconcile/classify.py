"""Differences between Stripe and Paidup: the rows that change once Paidup knows what Stripe shows.

The rows that stand are compared with those that would stand if everything Stripe shows were
recorded. Rows that one object changes belong to one difference, which is named by what it is
about, and is of the first class that fits. Pure.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from billing.fetching.observations import Name
from billing.rows import (
    CustomerRow,
    EntitlementRow,
    Key,
    PaymentRow,
    PurchaseRow,
    SubscriptionRow,
)
from ops.reconcile.differences import DifferenceClass
from runtime.ledger.decisions import Decision, RowDeleted, RowUpserted
from runtime.ledger.rows import Row, TableName

COMPARED: Final[Mapping[TableName, tuple[str, ...]]] = {
    TableName.CUSTOMERS: ("user_id",),
    TableName.SUBSCRIPTIONS: (
        "user_id",
        "status",
        "prices",
        "current_period_end",
        "cancel_at_period_end",
    ),
    TableName.PURCHASES: ("user_id", "plan_code", "price", "quantity", "status", "ends_at"),
    TableName.PAYMENTS: (
        "user_id",
        "amount_minor",
        "amount_refunded_minor",
        "currency",
        "status",
        "dispute_status",
        "occurred_at",
    ),
    TableName.ENTITLEMENTS: ("active", "entitlements", "per_seat", "expires_at"),
}
"""The columns in which the rows of both sides must be equal.

The others say from which fact a row follows, not what it says.
"""

_AMOUNTS: Final = frozenset({"amount_minor", "amount_refunded_minor", "currency"})
_STATUSES: Final = frozenset({"status", "dispute_status"})
_PRICES: Final = frozenset({"prices", "price", "plan_code", "quantity", "entitlements", "per_seat"})
_PERIODS: Final = frozenset({"current_period_end", "ends_at"})
_USERS: Final = frozenset({"user_id"})

RowKey = tuple[TableName, Key]
StoredRows = Mapping[RowKey, Row]


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectChange:
    """An object as Stripe shows it, and the decisions that follow once Paidup knows that."""

    name: Name
    gone: bool
    decisions: tuple[Decision, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RowChange:
    """A row that stands, and the one that would; one of the two may be missing."""

    table: TableName
    before: Row | None
    after: Row | None

    @property
    def columns(self) -> tuple[str, ...]:
        """The compared columns that differ; all of them if one side has no row."""
        return tuple(
            name
            for name in COMPARED[self.table]
            if getattr(self.before, name, None) != getattr(self.after, name, None)
        )

    @property
    def label(self) -> str:
        """The name of the row: its table and ids."""
        row = self.row
        words: tuple[str, ...] = (self.table, stripe_id_of_row(row))
        if isinstance(row, EntitlementRow):
            words += (row.plan_code, row.user_id)
        if isinstance(row, PurchaseRow):
            words += (row.line,)
        return " ".join(words).rstrip()

    def values(self, side: Row | None) -> dict[str, Any] | None:
        """Return the values of one side in the columns that differ."""
        return None if side is None else {name: getattr(side, name) for name in self.columns}

    @property
    def row(self) -> Row:
        """The row as it stands, else as it would."""
        row = self.before or self.after
        assert row is not None, "a change has at least one side"  # noqa: S101 - for the reader
        return row


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectDifference:
    """Something that Stripe shows otherwise than Paidup has it.

    ``name`` is the family and id of what it is about, ``objects`` are those that show it, and
    ``changes`` are the rows that differ.
    """

    name: Name
    classed: DifferenceClass
    objects: tuple[Name, ...]
    changes: tuple[RowChange, ...]

    @property
    def user_id(self) -> str | None:
        """The user whose access, else whose row, differs: the present one before the next."""
        named = (getattr(row, "user_id", None) for row in _sides(self.changes))
        return next((each for each in named if each), None)

    @property
    def customer_id(self) -> str | None:
        """The Stripe customer that it is about."""
        named = (getattr(row, "stripe_customer_id", None) for row in _sides(self.changes))
        return next((each for each in named if each), None)

    @property
    def users(self) -> frozenset[str]:
        """Every user whose rows a repair changes."""
        named = (getattr(row, "user_id", None) for row in _sides(self.changes))
        return frozenset(each for each in named if each)

    @property
    def row_names(self) -> frozenset[str]:
        """The ids of the subscriptions and payments that differ."""
        return frozenset(
            stripe_id_of_row(row)
            for row in _sides(self.changes)
            if isinstance(row, SubscriptionRow | PaymentRow)
        )

    @property
    def ours(self) -> dict[str, dict[str, Any] | None]:
        """The values that stand where they differ, by row; None for a row that is not here."""
        return {each.label: each.values(each.before) for each in self.changes}

    @property
    def theirs(self) -> dict[str, dict[str, Any] | None]:
        """The values that Stripe shows where they differ, by row."""
        return {each.label: each.values(each.after) for each in self.changes}


def differences_in(
    changes: Sequence[ObjectChange], stored: StoredRows, *, running: frozenset[str] = frozenset()
) -> tuple[ObjectDifference, ...]:
    """Return the differences that these objects show, by name.

    ``stored`` are the rows that stand, of every key in the decisions. ``running`` are the ids of
    subscriptions and payments of which Paidup thinks that Stripe has them.
    """
    rows = {(each.table, _key(each)): each for each in net_changes(changes, stored)}
    groups = _grouped(changes, rows.keys())
    found = [_difference(objects, [rows[key] for key in keys]) for objects, keys in groups]
    named = {name for each in found for name in each.objects}
    gone = [
        _unknown_there(each)
        for each in changes
        if each.gone and each.name[1] in running and each.name not in named
    ]
    return tuple(sorted([*found, *gone], key=lambda each: each.name))


def net_changes(changes: Iterable[ObjectChange], stored: StoredRows) -> Iterator[RowChange]:
    """Yield the rows that differ in a compared column once all decisions are carried out."""
    after = rows_after(changes)
    found = [
        RowChange(table=key[0], before=stored.get(key), after=after[key]) for key in sorted(after)
    ]
    yield from filter(_differs, _without_renamed(found))


def rows_after(changes: Iterable[ObjectChange]) -> dict[RowKey, Row | None]:
    """Return every row that the decisions write, as they leave it; None if they delete it."""
    return {key: row for change in changes for key, row in _written(change.decisions)}


def keys_in(changes: Iterable[ObjectChange]) -> frozenset[RowKey]:
    """Return the table and key of every row that the decisions write or delete."""
    return frozenset(key for change in changes for key, _ in _written(change.decisions))


def classify(changes: Sequence[RowChange], *, gone: bool = False) -> DifferenceClass:
    """Return the first class that fits the rows that differ.

    ``gone`` means that Stripe knows none of the objects that show it.
    """
    if gone:
        return DifferenceClass.UNKNOWN_THERE
    given = any(is_active(each.after) and not is_active(each.before) for each in changes)
    taken = any(is_active(each.before) and not is_active(each.after) for each in changes)
    if given != taken:
        return DifferenceClass.PAID_NOT_GRANTED if given else DifferenceClass.GRANTED_NOT_PAID
    known = {name for each in changes if each.before and each.after for name in each.columns}
    if known & _AMOUNTS:
        return DifferenceClass.AMOUNTS
    if not any(each.before for each in changes) or _replaces_provisional(changes):
        return DifferenceClass.MISSING_HERE
    by_column = (
        (_STATUSES, DifferenceClass.OTHER_STATUS),
        (_PRICES, DifferenceClass.OTHER_PRICE),
        (_PERIODS, DifferenceClass.OTHER_PERIOD),
        (_USERS, DifferenceClass.OTHER_USER),
    )
    moved = {*known, *_moved_with_access(changes)}
    return next((each for names, each in by_column if moved & names), DifferenceClass.STALE_HERE)


def stripe_id_of_row(row: Row) -> str:
    """Return the Stripe id by which people know a row."""
    match row:
        case CustomerRow():
            return row.stripe_customer_id
        case SubscriptionRow():
            return row.stripe_subscription_id
        case PaymentRow():
            return row.payment_ref
        case PurchaseRow():
            return row.payment_ref or row.purchase_ref
        case EntitlementRow():
            return row.source


def _written(decisions: Iterable[Decision]) -> Iterator[tuple[RowKey, Row | None]]:
    for decision in decisions:
        match decision:
            case RowUpserted(table=table, row=row):
                yield (table, row.key), row
            case RowDeleted(table=table, key=key):
                yield (table, key), None
            case _:
                pass


def _without_renamed(changes: Sequence[RowChange]) -> list[RowChange]:
    """Leave out rows that have another key and say the same: a line or a payment became known."""
    gone = [_says(each.before) if each.after is None else None for each in changes]
    came = [_says(each.after) if each.before is None else None for each in changes]
    renamed = Counter(filter(None, gone)) & Counter(filter(None, came))
    skipped = {*_first(gone, renamed), *_first(came, renamed)}
    return [each for position, each in enumerate(changes) if position not in skipped]


def _first(
    said: Sequence[tuple[object, ...] | None], wanted: Counter[tuple[object, ...]]
) -> Iterator[int]:
    """Yield the positions of the first of each of these, so many of each as wanted."""
    left = Counter(wanted)
    for position, each in enumerate(said):
        if each is not None and left[each] > 0:
            left[each] -= 1
            yield position


def _says(row: Row | None) -> tuple[object, ...] | None:
    """Return what a row says whose key may change, None for any other."""
    match row:
        case PurchaseRow():
            table = TableName.PURCHASES
        case EntitlementRow():
            table = TableName.ENTITLEMENTS
        case _:
            return None
    values = (getattr(row, name) for name in ("user_id", "plan_code", *COMPARED[table]))
    return (table, *map(repr, values))


def _differs(change: RowChange) -> bool:
    if change.before is None and change.after is None:
        return False
    if isinstance(change.row, EntitlementRow):
        # A row that gives nothing on both sides is the past, however it is told.
        return bool(change.columns) and (is_active(change.before) or is_active(change.after))
    if isinstance(change.row, CustomerRow) and None in (change.before, change.after):
        return "user_id" in change.columns
    return bool(change.columns) or change.before is None or change.after is None


def _grouped(
    changes: Iterable[ObjectChange], differing: Iterable[RowKey]
) -> list[tuple[list[ObjectChange], list[RowKey]]]:
    """Return the objects and the rows that belong together: each object joins what it changes."""
    wanted = set(differing)
    groups: list[tuple[list[ObjectChange], set[RowKey]]] = []
    for change in changes:
        touched = {key for key, _ in _written(change.decisions)} & wanted
        if not touched:
            continue
        joined = [group for group in groups if group[1] & touched]
        groups = [group for group in groups if not group[1] & touched]
        objects = [each for group in joined for each in group[0]] + [change]
        groups.append((objects, touched.union(*(group[1] for group in joined))))
    return [(objects, sorted(keys)) for objects, keys in groups]


_ABOUT: Final = (
    TableName.SUBSCRIPTIONS,
    TableName.PAYMENTS,
    TableName.PURCHASES,
    TableName.ENTITLEMENTS,
    TableName.CUSTOMERS,
)
"""The table of the row that names a difference, the first that has one."""


def _difference(objects: Sequence[ObjectChange], changes: Sequence[RowChange]) -> ObjectDifference:
    names = tuple(sorted({each.name for each in objects}))
    return ObjectDifference(
        name=_name(names, changes),
        classed=classify(changes, gone=all(each.gone for each in objects)),
        objects=names,
        changes=tuple(changes),
    )


def _name(names: Sequence[Name], changes: Sequence[RowChange]) -> Name:
    """Return the customer if one alone shows the difference, else the row that it is about."""
    if len(names) == 1 and names[0][0] == "customer":
        return names[0]
    by_table = defaultdict(list)
    for each in changes:
        by_table[each.table].append(each)
    table = next(table for table in _ABOUT if by_table[table])
    standing = [each for each in by_table[table] if each.after] or by_table[table]
    return (_FAMILY[table], stripe_id_of_row(standing[0].row))


_FAMILY: Final[Mapping[TableName, str]] = {
    TableName.CUSTOMERS: "customer",
    TableName.SUBSCRIPTIONS: "subscription",
    TableName.PURCHASES: "purchase",
    TableName.PAYMENTS: "payment",
    TableName.ENTITLEMENTS: "access",
}


def _unknown_there(change: ObjectChange) -> ObjectDifference:
    return ObjectDifference(
        name=change.name,
        classed=DifferenceClass.UNKNOWN_THERE,
        objects=(change.name,),
        changes=(),
    )


def _key(change: RowChange) -> Key:
    return change.row.key


def is_active(row: Row | None) -> bool:
    """Return True if a row gives access."""
    return isinstance(row, EntitlementRow) and row.active


def _replaces_provisional(changes: Sequence[RowChange]) -> bool:
    """Return True if a payment is new here that an invoice or checkout represented so far."""
    payments = [each for each in changes if each.table is TableName.PAYMENTS]
    provisional = [each.before for each in payments if each.after is None]
    came = any(each.before is None for each in payments)
    return came and any(isinstance(row, PaymentRow) and row.provisional for row in provisional)


def _moved_with_access(changes: Iterable[RowChange]) -> Iterator[str]:
    """Yield in which respect access moved that some rows lost and others gained."""
    listed = list(changes)
    lost = [each.before for each in listed if is_active(each.before) > is_active(each.after)]
    gained = [each.after for each in listed if is_active(each.after) > is_active(each.before)]
    for name in ("user_id", "plan_code"):
        # A user may move with several plans, of which none is another one then.
        if _values(lost, name) != _values(gained, name):
            yield name


def _values(rows: Iterable[Row | None], name: str) -> set[Any]:
    return {getattr(row, name) for row in rows}


def _sides(changes: Iterable[RowChange]) -> Iterator[Row]:
    for change in changes:
        yield from (row for row in (change.before, change.after) if row is not None)
