"""The objects that `--since` leaves out: old bills of subscriptions and their payments. Pure.

A purchase may grant for good, so purchases and their payments are read from the first day. Stripe's
lists cannot be asked for bills of subscriptions alone, so every page is read and judged here. What
a payment is for, Stripe says on the bill and not on the payment; a payment is therefore left out
only if it names a bill that was left out before, and what follows from a payment goes with it. A
bill that a checkout or a subscription names counts, however old: a paid checkout would otherwise
stand for it, without the time at which it was paid. So does one with a line that may be a purchase:
what is bought beside a subscription stands on its next bill.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from billing.json_fields import (
    Raw,
    is_whole_list,
    object_in,
    objects_in,
    reference_in,
    text_in,
    time_in,
)
from billing.projection.purchase_lines import may_buy
from billing.readers.lines import invoice_lines

_BILL: Final = "in_"
_ENDED: Final = frozenset({"paid", "void", "uncollectible"})
"""Statuses of bills that no payment is expected for."""

_ENDS: Final = ("paid_at", "voided_at", "marked_uncollectible_at")


@dataclass(frozen=True, slots=True, kw_only=True)
class BackfillScope:
    """The time from which bills of subscriptions count, and the time at which the run began."""

    since: datetime
    began_at: datetime

    def follows(self, family: str, raw: Raw) -> str | None:
        """Return the object that has to be known for this one to count; None if it counts itself.

        The id of a bill may be cut off at its end, as Stripe cuts it off in a payment.
        """
        created = time_in(raw, "created")
        until = self.since if family in _PAYMENTS else self.began_at
        name = _FOLLOWS[family](raw) if family in _FOLLOWS else None
        return name if created is not None and created < until else None

    def is_old_bill(self, family: str, raw: Raw) -> bool:
        """Return True for a bill of a subscription alone, settled, and whose periods ended."""
        if family != "invoice" or not _subscription(raw) or text_in(raw, "status") not in _ENDED:
            return False
        if any(map(may_buy, invoice_lines(raw))):
            return False
        moments = (time_in(object_in(raw, "status_transitions"), name) for name in _ENDS)
        periods = (time_in(object_in(line, "period"), "end") for line in objects_in(raw, "lines"))
        known = [at for at in (time_in(raw, "created"), *moments, *periods) if at is not None]
        return is_whole_list(raw, "lines") and bool(known) and max(known) < self.since

    def left_out(
        self,
        objects: Iterable[tuple[str, Raw]],
        *,
        known: Collection[str],
        named: Collection[str],
    ) -> tuple[bool, ...]:
        """Return for each object, with its family, whether it is left out.

        ``known`` are those names of ``follows`` of which there is a fact, ``named`` the ids of old
        bills that a fact names.
        """
        return tuple(
            (self.is_old_bill(family, raw) and raw.get("id") not in named)
            or ((name := self.follows(family, raw)) is not None and name not in known)
            for family, raw in objects
        )


def _subscription(raw: Raw) -> str | None:
    return reference_in(object_in(raw, "parent", "subscription_details"), "subscription")


def _bill_of_payment(raw: Raw) -> str | None:
    reference = text_in(object_in(raw, "payment_details"), "order_reference")
    return reference if reference and reference.startswith(_BILL) else None


def _payment(raw: Raw) -> str | None:
    return reference_in(raw, "payment_intent") or reference_in(raw, "charge")


_PAYMENTS: Final = frozenset({"payment_intent", "charge"})
_FOLLOWS: Final[Mapping[str, Callable[[Raw], str | None]]] = {
    "payment_intent": _bill_of_payment,
    "charge": lambda raw: reference_in(raw, "payment_intent"),
    "refund": _payment,
    "dispute": _payment,
    "credit_note": lambda raw: reference_in(raw, "invoice"),
}
"""The object that one of each family belongs to, as it names it."""
