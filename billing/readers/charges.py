"""``charge.*``, refunds and disputes.

Old charges contain their refunds and their dispute, which then state facts of their own.
"""

from collections.abc import Iterator

from billing.envelope import usable_id
from billing.facts import ChargeFields, DisputeFields, Kind, RefundFields
from billing.ids import ObjectKey, Realm, object_key
from billing.json_fields import (
    Raw,
    amount_in,
    currency_in,
    enum_in,
    flag_in,
    integer_in,
    object_in,
    objects_in,
    reference_in,
    text_in,
    time_in,
    whole_metadata_in,
    with_known,
)
from billing.readers.reader import EventEffect, EventType, ReadContext, Reader


def _charge_fields(raw: Raw, _: ReadContext) -> ChargeFields:
    status = _charge_status(raw)
    captured = status == "succeeded" if raw.get("captured") is None else flag_in(raw, "captured")
    stated = integer_in(raw, "amount_captured")
    # https://github.com/stripe/stripe-go/pull/1185 added the member.
    assumed = stated is None and captured and status == "succeeded"
    return ChargeFields(
        status=status,
        captured=captured,
        amount=amount_in(raw, "amount"),
        amount_captured=amount_in(raw, "amount") if assumed else stated or 0,
        amount_refunded=amount_in(raw, "amount_refunded"),
        currency=currency_in(raw),
        payment_intent=reference_in(raw, "payment_intent"),
        invoice=reference_in(raw, "invoice"),
        metadata=whole_metadata_in(raw),
        own_created_at=time_in(raw, "created"),
        refunded_in_full=flag_in(raw, "refunded"),
        order_reference=text_in(object_in(raw, "payment_details"), "order_reference"),
        captured_assumed=assumed,
    )


def _charge_status(raw: Raw) -> str:
    """Return the status, also of charges before 2015, which were called paid if anything."""
    status = text_in(raw, "status")
    if status is None and isinstance(raw.get("paid"), bool):
        return "succeeded" if raw["paid"] else "failed"
    return "succeeded" if status == "paid" else enum_in(raw, "status")


def _charge_references(raw: Raw) -> tuple[str | None, ...]:
    return tuple(reference_in(raw, name) for name in ("payment_intent", "invoice", "dispute"))


def _embedded_in_charge(raw: Raw) -> Iterator[tuple[Reader, Raw]]:
    known = {"charge": raw.get("id"), "payment_intent": raw.get("payment_intent")}
    for refund in objects_in(raw, "refunds"):
        yield REFUND, with_known(refund, **known)
    dispute = raw.get("dispute")
    if isinstance(dispute, dict):
        yield DISPUTE, with_known(dispute, **known)


def _refund_fields(raw: Raw, _: ReadContext) -> RefundFields:
    return RefundFields(
        # Refunds of old charges have no status; all of them had succeeded.
        status=text_in(raw, "status") or "succeeded",
        amount=amount_in(raw, "amount"),
        currency=currency_in(raw),
        charge=reference_in(raw, "charge"),
        payment_intent=reference_in(raw, "payment_intent"),
        own_created_at=time_in(raw, "created"),
    )


def _dispute_fields(raw: Raw, context: ReadContext) -> DisputeFields:
    return DisputeFields(
        status=enum_in(raw, "status"),
        amount=amount_in(raw, "amount"),
        currency=currency_in(raw),
        charge=reference_in(raw, "charge"),
        payment_intent=reference_in(raw, "payment_intent"),
        opened_at=time_in(raw, "created") or context.at,
    )


def _dispute_key(realm: Realm, raw: Raw) -> ObjectKey | None:
    """Return the key of a dispute. Before 2014 a charge had at most one, without an id."""
    own_id, charge = usable_id(raw.get("id")), reference_in(raw, "charge")
    filed_under = own_id or (f"dispute/{charge}" if charge else None)
    return object_key(realm, filed_under) if filed_under else None


def _payment_references(raw: Raw) -> tuple[str | None, ...]:
    return (reference_in(raw, "charge"), reference_in(raw, "payment_intent"))


REFUND = Reader(
    kind=Kind.REFUND,
    describes="One refund of a payment. Success is not final: a bank may return it.",
    fields=_refund_fields,
    references=_payment_references,
)
DISPUTE = Reader(
    kind=Kind.DISPUTE,
    describes=(
        "The state of one dispute of a payment. `lost` is not final; `warning_*` and `prevented`"
        " have no consequence; an unknown status is an open dispute."
    ),
    fields=_dispute_fields,
    references=_payment_references,
    key=_dispute_key,
)
CHARGE = Reader(
    kind=Kind.CHARGE,
    describes=(
        "The amount captured of a payment, its own second, and the running total of its refunds,"
        " from which the release of an uncaptured rest is taken off. Refunds and a dispute it"
        " contains (in old versions) state facts of their own."
    ),
    fields=_charge_fields,
    references=_charge_references,
    embedded=_embedded_in_charge,
)
EVENTS = {
    "charge.succeeded": EventType(
        CHARGE,
        EventEffect.BOTH,
        "Money was captured, or only authorised while `captured` is false. Without a payment intent"
        " it is a purchase of the plan that its own metadata names.",
    ),
    "charge.failed": EventType(
        CHARGE,
        EventEffect.MONEY,
        "An attempt failed. If this charge had succeeded, the bank returned a debit: what it"
        " brought is taken back.",
    ),
    "charge.pending": EventType(CHARGE, EventEffect.MONEY, "Pending: a delayed payment method."),
    "charge.captured": EventType(
        CHARGE,
        EventEffect.BOTH,
        "The authorised money is captured, in full or in part, and a purchase that waited for it is"
        " paid; the rest is released and no refund.",
    ),
    "charge.expired": EventType(
        CHARGE,
        EventEffect.MONEY,
        "The authorisation is released; no money was received and none goes back.",
    ),
    "charge.updated": EventType(
        CHARGE, EventEffect.MONEY, "Any change; its running total counts if it is the newest."
    ),
    "charge.refunded": EventType(
        CHARGE,
        EventEffect.BOTH,
        "The running total of refunds, pending ones left out; `[policy]` decides if that ends a"
        " purchase.",
    ),
    "charge.refund.updated": EventType(
        REFUND, EventEffect.BOTH, "The present state of the refund, including a failure."
    ),
    "refund.created": EventType(
        REFUND, EventEffect.BOTH, "A refund was made; it counts once it succeeds."
    ),
    "refund.updated": EventType(REFUND, EventEffect.BOTH, "The present state of the refund."),
    "refund.failed": EventType(
        REFUND,
        EventEffect.BOTH,
        "The money did not go back: the purchase that the refund ended is restored.",
    ),
    "charge.dispute.created": EventType(
        DISPUTE, EventEffect.BOTH, "Opened; it may be `lost` from the start."
    ),
    "charge.dispute.updated": EventType(
        DISPUTE, EventEffect.BOTH, "Any change, an appeal included."
    ),
    "charge.dispute.closed": EventType(
        DISPUTE,
        EventEffect.BOTH,
        "Decided; by `[policy]` a lost dispute ends a purchase and a won one restores it.",
    ),
    "charge.dispute.funds_withdrawn": EventType(
        DISPUTE,
        EventEffect.ORDER,
        "One more snapshot. Money that a bank withdraws is no refund; see `dispute_status`.",
    ),
    "charge.dispute.funds_reinstated": EventType(
        DISPUTE, EventEffect.ORDER, "One more snapshot of a decided dispute."
    ),
}
