"""The state of a credit note."""

from dataclasses import dataclass
from datetime import datetime

from billing.facts import CreditedLine, CreditNoteFields
from billing.ids import ObjectKey, stripe_id_of
from billing.objects.observations import (
    EventMoment,
    Observation,
    last_value,
    observations,
    state_of,
)
from billing.objects.ordering import ObjectHistory
from billing.statuses import CREDIT_NOTE_VOID


@dataclass(frozen=True, slots=True, kw_only=True)
class CreditNoteState:
    """A credit note that stands unless it is void; amounts are minor units of its invoice."""

    id: str
    invoice: str | None
    void: bool
    total: int
    out_of_band_amount: int
    refunds: tuple[str, ...]
    lines: tuple[CreditedLine, ...]
    is_cut: bool
    """True if Stripe has shown only a part of the lines."""
    at: datetime
    """The second in which it was made."""
    voided_at: datetime | None
    decided_by: EventMoment

    @property
    def changed_at(self) -> datetime:
        """The second in which it was made, or voided if it is void."""
        return self.voided_at or self.at


def fold_credit_note(key: ObjectKey, history: ObjectHistory) -> CreditNoteState:
    """Return the state of a credit note. A void one stays void."""
    facts = observations(history, CreditNoteFields)
    state = state_of(history, facts)
    newest = next((fact for fact in facts if _is_void(fact)), state)
    voided_at = last_value(fact.fields.voided_at for fact in facts) or newest.at
    listed = [fact.fields for fact in facts if fact.fields.lines]
    return CreditNoteState(
        id=stripe_id_of(key),
        invoice=last_value(fact.fields.invoice for fact in facts),
        void=_is_void(newest),
        total=newest.fields.total,
        out_of_band_amount=newest.fields.out_of_band_amount,
        refunds=tuple(dict.fromkeys(ref for fact in facts for ref in fact.fields.refunds)),
        lines=listed[-1].lines if listed else (),
        is_cut=bool(listed) and not listed[-1].lines_complete,
        at=newest.fields.own_created_at or facts[0].at,
        voided_at=voided_at if _is_void(newest) else None,
        decided_by=EventMoment(newest.at, newest.event_id),
    )


def _is_void(fact: Observation[CreditNoteFields]) -> bool:
    return fact.fields.status == CREDIT_NOTE_VOID
