"""The rows and notes of a party that go into archives with its payments.

A note goes with the payment that it is about. One about a price or a plan stays with the party,
because archived payments may name the same (``dependencies``).
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import NamedTuple, TypeVar

from billing.archiving.components import Component
from billing.facts import CheckoutSessionFields, InvoiceFields
from billing.ids import UserId, object_key, stripe_id_of
from billing.rows import EntitlementRow, Key, PaymentRow, Projection, PurchaseRow


class NoteKind(StrEnum):
    """The kinds of notes, as fields of a projection and columns of a party's row are called."""

    WITHOUT_GRANT = "without_grant"
    CANDIDATES = "candidates"
    WITHOUT_LINE_ITEMS = "without_line_items"
    AWAITING_INVOICE = "awaiting_invoice"


NoteValue = str | tuple[UserId, ...] | None
NoteKey = tuple[NoteKind, str]


class ArchivedNote(NamedTuple):
    """A note in an archive; ``value`` is a reason, the users between whom it waits, or None."""

    archive: str
    kind: NoteKind
    name: str
    value: NoteValue


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaving:
    """The archive of each row that goes, by its key, and the notes that go."""

    payments: Mapping[Key, str]
    purchases: Mapping[Key, str]
    entitlements: Mapping[Key, str]
    notes: tuple[ArchivedNote, ...]


def what_leaves(
    before: Projection, after: Projection, components: Iterable[Component]
) -> Leaving | None:
    """Return what is projected no more without these payments.

    It is None if anything else changed, or something goes that belongs to none of them.
    """
    archives = _archives_by_name(components)
    payments = _gone(before.payments, after.payments, archives)
    purchases = _gone(before.purchases, after.purchases, archives)
    entitlements = _gone(before.entitlements, after.entitlements, archives)
    notes = _gone_notes(before, after, archives)
    if payments is None or purchases is None or entitlements is None or notes is None:
        return None
    if _shared(before) != _shared(after):
        return None
    return Leaving(payments=payments, purchases=purchases, entitlements=entitlements, notes=notes)


def notes_of(projection: Projection) -> dict[NoteKey, NoteValue]:
    """Return the notes of these kinds by kind and name."""
    notes: dict[NoteKey, NoteValue] = {}
    for name, why in projection.without_grant.items():
        notes[NoteKind.WITHOUT_GRANT, name] = why
    for name, users in projection.candidates.items():
        notes[NoteKind.CANDIDATES, name] = users
    notes |= {(NoteKind.WITHOUT_LINE_ITEMS, name): None for name in projection.without_line_items}
    notes |= {(NoteKind.AWAITING_INVOICE, name): None for name in projection.awaiting_invoice}
    return notes


def _shared(projection: Projection) -> Projection:
    """Return what no payment takes with it; whether anything waits follows from the notes."""
    nothing = Projection()
    notes = {kind.value: getattr(nothing, kind) for kind in NoteKind}
    return replace(projection, payments={}, purchases={}, entitlements={}, waiting=False, **notes)


def _archives_by_name(components: Iterable[Component]) -> dict[str, str]:
    """Return the archive of everything that rows and notes of these payments are called by."""
    return {name: each.name for each in components for name in _names_in(each)}


def _names_in(component: Component) -> Iterator[str]:
    for key in component.keys:
        yield from (key, stripe_id_of(key))
    for fact in component.facts:
        if isinstance(fact.fields, InvoiceFields | CheckoutSessionFields):
            lines = fact.fields.lines
            yield from (name for line in lines for name in (line.invoice_item, line.id) if name)


Row = TypeVar("Row", PaymentRow, PurchaseRow, EntitlementRow)


def _gone(
    before: Mapping[Key, Row], after: Mapping[Key, Row], archives: Mapping[str, str]
) -> dict[Key, str] | None:
    if not after.items() <= before.items():
        return None
    gone = {key: row for key, row in before.items() if key not in after}
    names = {key: object_key(row.realm, _ref_of(row)) for key, row in gone.items()}
    if not archives.keys() >= set(names.values()):
        return None
    return {key: archives[name] for key, name in names.items()}


def _ref_of(row: PaymentRow | PurchaseRow | EntitlementRow) -> str:
    if isinstance(row, PaymentRow):
        return row.payment_ref
    return row.purchase_ref if isinstance(row, PurchaseRow) else row.source


def _gone_notes(
    before: Projection, after: Projection, archives: Mapping[str, str]
) -> tuple[ArchivedNote, ...] | None:
    had, has = notes_of(before), notes_of(after)
    if not has.items() <= had.items():
        return None
    gone = {note: value for note, value in had.items() if note not in has}
    if not archives.keys() >= {name for _, name in gone}:
        return None
    return tuple(
        ArchivedNote(archives[name], kind, name, value) for (kind, name), value in gone.items()
    )
