"""``credit_note.*``: what is taken off an invoice after it was finalized."""

from billing.facts import CreditNoteFields, Kind
from billing.json_fields import (
    Raw,
    amount_in,
    currency_in,
    enum_in,
    is_whole_list,
    objects_in,
    reference_in,
    time_in,
)
from billing.readers.lines import credited_lines
from billing.readers.reader import EventEffect, EventType, ReadContext, Reader
from billing.statuses import CREDIT_NOTE_VOID


def _fields(raw: Raw, context: ReadContext) -> CreditNoteFields:
    voided = context.event_type == "credit_note.voided"
    return CreditNoteFields(
        status=CREDIT_NOTE_VOID if voided else enum_in(raw, "status"),
        invoice=reference_in(raw, "invoice"),
        total=amount_in(raw, "total") or amount_in(raw, "amount"),
        out_of_band_amount=amount_in(raw, "out_of_band_amount"),
        currency=currency_in(raw),
        refunds=_refunds(raw),
        lines=credited_lines(raw),
        lines_complete=is_whole_list(raw, "lines"),
        own_created_at=time_in(raw, "created"),
        voided_at=time_in(raw, "voided_at") or (context.at if voided else None),
    )


def _refunds(raw: Raw) -> tuple[str, ...]:
    """Return the refunds: one until 2024, since then a list whose rows name one each."""
    rows = objects_in(raw, "refunds")
    named = [reference_in(row, "refund") for row in rows]
    named.append(reference_in(raw, "refund"))
    return tuple(dict.fromkeys(ref for ref in named if ref))


def _references(raw: Raw) -> tuple[str | None, ...]:
    return (reference_in(raw, "invoice"), *_refunds(raw))


CREDIT_NOTE = Reader(
    kind=Kind.CREDIT_NOTE,
    describes=(
        "The amount that is taken off an invoice, line by line, and what was given back outside"
        " Stripe. A refund that it makes states a fact of its own."
    ),
    fields=_fields,
    references=_references,
)
EVENTS = {
    "credit_note.created": EventType(
        CREDIT_NOTE,
        EventEffect.BOTH,
        "A line that is credited whole is bought no more; money goes back by refunds.",
    ),
    "credit_note.updated": EventType(CREDIT_NOTE, EventEffect.ORDER, "One more snapshot."),
    "credit_note.voided": EventType(
        CREDIT_NOTE, EventEffect.BOTH, "Takes the credit back: what was bought is bought again."
    ),
}
