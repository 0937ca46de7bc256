"""``charge.*``, refunds and disputes: what was taken, given back and taken away.

Old charges contain their refunds and their dispute, which then state facts of their own.
"""

from collections.abc import Iterator

from billing.envelope import usable_id
from billing.facts import ChargeFields, DisputeFields, Kind, RefundFields
from billing.ids import ObjectKey, Realm, object_key
from billing.json_fields import (
    Raw,
    amount,
    completed,
    currency,
    flag,
    instant,
    metadata,
    reference,
    rows,
    text,
    whole,
    word,
)
from billing.readers.reader import Bearing, Occasion, Reader, Told


def _charge_fields(raw: Raw, _: Occasion) -> ChargeFields:
    status = _charge_status(raw)
    captured = status == "succeeded" if raw.get("captured") is None else flag(raw, "captured")
    return ChargeFields(
        status=status,
        captured=captured,
        amount=amount(raw, "amount"),
        amount_captured=_amount_captured(raw, whole_of_it=captured and status == "succeeded"),
        amount_refunded=amount(raw, "amount_refunded"),
        currency=currency(raw),
        payment_intent=reference(raw, "payment_intent"),
        invoice=reference(raw, "invoice"),
        user_id=metadata(raw, "user_id"),
    )


def _charge_status(raw: Raw) -> str:
    """Before 2015 a charge that had succeeded was called paid, if it had a status at all."""
    status = text(raw, "status")
    if status is None and isinstance(raw.get("paid"), bool):
        return "succeeded" if raw["paid"] else "failed"
    return "succeeded" if status == "paid" else word(raw, "status")


def _amount_captured(raw: Raw, *, whole_of_it: bool) -> int:
    stated = whole(raw, "amount_captured")
    if stated is None and whole_of_it:
        return amount(raw, "amount")
    return stated or 0


def _charge_others(raw: Raw) -> tuple[str | None, ...]:
    return tuple(reference(raw, name) for name in ("payment_intent", "invoice", "dispute"))


def _inside_charge(raw: Raw) -> Iterator[tuple[Reader, Raw]]:
    known = {"charge": raw.get("id"), "payment_intent": raw.get("payment_intent")}
    for refund in rows(raw, "refunds"):
        yield REFUND, completed(refund, **known)
    dispute = raw.get("dispute")
    if isinstance(dispute, dict):
        yield DISPUTE, completed(dispute, **known)


def _refund_fields(raw: Raw, _: Occasion) -> RefundFields:
    return RefundFields(
        # The refunds of old charges have no status: there were none but made ones.
        status=text(raw, "status") or "succeeded",
        amount=amount(raw, "amount"),
        currency=currency(raw),
        charge=reference(raw, "charge"),
        payment_intent=reference(raw, "payment_intent"),
    )


def _dispute_fields(raw: Raw, occasion: Occasion) -> DisputeFields:
    return DisputeFields(
        status=word(raw, "status"),
        amount=amount(raw, "amount"),
        currency=currency(raw),
        charge=reference(raw, "charge"),
        payment_intent=reference(raw, "payment_intent"),
        opened_at=instant(raw, "created") or occasion.at,
    )


def _dispute_key(realm: Realm, raw: Raw) -> ObjectKey | None:
    """Disputes had no id before 2014, and a charge had no more than one of them."""
    own_id, charge = usable_id(raw.get("id")), reference(raw, "charge")
    filed_under = own_id or (f"dispute/{charge}" if charge else None)
    return object_key(realm, filed_under) if filed_under else None


def _payment_it_is_of(raw: Raw) -> tuple[str | None, ...]:
    return (reference(raw, "charge"), reference(raw, "payment_intent"))


REFUND = Reader(
    kind=Kind.REFUND,
    stripe_name="refund",
    states="One refund of a payment. Succeeded is not final: a bank may send it back.",
    fields=_refund_fields,
    others=_payment_it_is_of,
)
DISPUTE = Reader(
    kind=Kind.DISPUTE,
    stripe_name="dispute",
    states=(
        "How one dispute of a payment stands. `lost` is not final; `warning_*` and `prevented` have"
        " no consequence; a word not known is an open dispute."
    ),
    fields=_dispute_fields,
    others=_payment_it_is_of,
    key=_dispute_key,
)
CHARGE = Reader(
    kind=Kind.CHARGE,
    stripe_name="charge",
    states=(
        "What was taken of a payment, and the running total of what was given back. Refunds and a"
        " dispute it contains (in old versions) state facts of their own."
    ),
    fields=_charge_fields,
    others=_charge_others,
    inside=_inside_charge,
)
EVENTS = {
    "charge.succeeded": Told(
        CHARGE, Bearing.MONEY, "Money was taken, or only set aside while `captured` is false."
    ),
    "charge.failed": Told(CHARGE, Bearing.MONEY, "An attempt failed, which undoes no success."),
    "charge.pending": Told(CHARGE, Bearing.MONEY, "Pending: a delayed payment method."),
    "charge.captured": Told(
        CHARGE, Bearing.MONEY, "What was set aside is taken, whole or in part."
    ),
    "charge.expired": Told(
        CHARGE, Bearing.MONEY, "What was set aside is released; it was no money and none goes back."
    ),
    "charge.updated": Told(
        CHARGE, Bearing.MONEY, "Any change; its running total counts if it is the newest."
    ),
    "charge.refunded": Told(
        CHARGE, Bearing.BOTH, "The running total of what went back; `[policy]` says what that ends."
    ),
    "charge.refund.updated": Told(
        REFUND, Bearing.BOTH, "The refund as it stands now, also a failed one."
    ),
    "refund.created": Told(REFUND, Bearing.BOTH, "A refund was made; it counts once it succeeded."),
    "refund.updated": Told(REFUND, Bearing.BOTH, "The refund as it stands now."),
    "refund.failed": Told(
        REFUND, Bearing.BOTH, "The money did not go back: what the refund ended is restored."
    ),
    "charge.dispute.created": Told(
        DISPUTE, Bearing.BOTH, "Opened; it may be `lost` from the start."
    ),
    "charge.dispute.updated": Told(DISPUTE, Bearing.BOTH, "Any change, an appeal included."),
    "charge.dispute.closed": Told(
        DISPUTE,
        Bearing.BOTH,
        "Decided; by `[policy]` a lost dispute ends a purchase and a won one restores it.",
    ),
    "charge.dispute.funds_withdrawn": Told(
        DISPUTE,
        Bearing.ORDER,
        "One more snapshot. What a bank takes back is no refund; `dispute_status` tells.",
    ),
    "charge.dispute.funds_reinstated": Told(
        DISPUTE, Bearing.ORDER, "One more snapshot of a dispute that was decided."
    ),
}
