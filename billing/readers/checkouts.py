"""``checkout.session.*``: the buyer, the goods and the payment of a checkout.

A payment link belongs to no single customer. It is a name of what was sold, not a mention.
"""

from billing.facts import CheckoutSessionFields, Kind
from billing.json_fields import (
    Raw,
    amount_in,
    enum_in,
    is_whole_list,
    reference_in,
    text_in,
    time_in,
    whole_metadata_in,
)
from billing.readers.lines import session_lines
from billing.readers.reader import EventEffect, EventType, ReadContext, Reader


def _fields(raw: Raw, _: ReadContext) -> CheckoutSessionFields:
    return CheckoutSessionFields(
        mode=text_in(raw, "mode") or _mode_before_there_were_modes(raw),
        status=text_in(raw, "status"),
        payment_status=enum_in(raw, "payment_status"),
        amount_total=amount_in(raw, "amount_total"),
        currency=text_in(raw, "currency"),
        payment_link=reference_in(raw, "payment_link"),
        payment_intent=reference_in(raw, "payment_intent"),
        subscription=reference_in(raw, "subscription"),
        invoice=reference_in(raw, "invoice"),
        metadata=whole_metadata_in(raw),
        client_reference_id=text_in(raw, "client_reference_id"),
        lines=session_lines(raw),
        lines_complete=is_whole_list(raw, "line_items") or is_whole_list(raw, "display_items"),
        own_created_at=time_in(raw, "created"),
    )


def _mode_before_there_were_modes(raw: Raw) -> str:
    if reference_in(raw, "subscription"):
        return "subscription"
    return "setup" if reference_in(raw, "setup_intent") else "payment"


def _references(raw: Raw) -> tuple[str | None, ...]:
    names = ("payment_intent", "subscription", "invoice")
    return tuple(reference_in(raw, name) for name in names)


CHECKOUT_SESSION = Reader(
    kind=Kind.CHECKOUT_SESSION,
    describes=(
        "The buyer and the payment of a checkout: the user (its metadata or `client_reference_id`,"
        " by `[identity]`), the plan by line items, metadata or payment link, and the payment,"
        " subscription and invoice that it created."
    ),
    fields=_fields,
    references=_references,
)
EVENTS = {
    "checkout.session.completed": EventType(
        CHECKOUT_SESSION,
        EventEffect.BOTH,
        "Grants at once if `paid` or `no_payment_required`, and waits for its payment if `unpaid`."
        " A payment that is known decides instead.",
    ),
    "checkout.session.async_payment_succeeded": EventType(
        CHECKOUT_SESSION,
        EventEffect.BOTH,
        "The money of a delayed payment has arrived: grants now.",
    ),
    "checkout.session.async_payment_failed": EventType(
        CHECKOUT_SESSION,
        EventEffect.ACCESS,
        "The delayed payment failed: the purchase is `failed` and grants nothing.",
    ),
    "checkout.session.expired": EventType(
        CHECKOUT_SESSION,
        EventEffect.ACCESS,
        "Not paid in time: the purchase is `expired`, grants nothing and makes no user known.",
    ),
}
