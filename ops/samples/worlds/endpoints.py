"""Endpoints that hear much or little: by the event types they get, and since when."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

Listens = Callable[[str, int], bool]

UNHEARD: Final[Mapping[str, tuple[str, ...]]] = {
    "everything": (),
    "no-intents": ("payment_intent.",),
    "no-invoices": ("invoice.", "invoice_payment."),
    "no-charges": ("charge.",),
    "no-links": ("payment_intent.", "invoice_payment."),
    "no-snapshots": ("customer.subscription.",),
    "late-charges": (
        "payment_intent.",
        "invoice_payment.",
        "refund.",
        "charge.succeeded",
        "charge.failed",
        "charge.pending",
        "charge.captured",
        "charge.updated",
        "charge.expired",
    ),
    "intents-only": ("checkout.session.async", "charge.", "invoice_payment."),
    "no-money": ("payment_intent.", "charge.", "refund.", "invoice", "credit_note."),
    "bills-only": ("payment_intent.", "charge.", "refund.", "invoice_payment.", "credit_note."),
}
"""Prefixes of the event types that an endpoint of this kind does not get."""


@dataclass(frozen=True, slots=True)
class WorldEndpoint:
    """One endpoint; ``since`` is the second in which it was made, counted from the start."""

    kind: str
    since: int = 0

    def listens(self, event_type: str, since_start: int) -> bool:
        """Return whether it gets an event."""
        return since_start >= self.since and not event_type.startswith(UNHEARD[self.kind] or ("-",))
