"""``checkout.session.*``: who bought what, and whether it is paid.

A payment link is no object of one customer, so it is a name of what was sold and not mentioned.
"""

from billing.facts import CheckoutSessionFields, Kind
from billing.json_fields import (
    Raw,
    amount,
    names_sold,
    reference,
    rows,
    table,
    text,
    word,
)
from billing.readers.reader import Bearing, Occasion, Reader, Told


def _fields(raw: Raw, _: Occasion) -> CheckoutSessionFields:
    own = table(raw, "metadata")
    return CheckoutSessionFields(
        mode=text(raw, "mode") or _mode_before_there_were_modes(raw),
        status=text(raw, "status"),
        payment_status=word(raw, "payment_status"),
        amount_total=amount(raw, "amount_total"),
        currency=text(raw, "currency"),
        user_id=text(raw, "client_reference_id") or text(own, "user_id"),
        line_item_refs=names_sold(rows(raw, "line_items"))
        or names_sold(rows(raw, "display_items")),
        price_id=text(own, "price_id"),
        plan_code=text(own, "plan_code"),
        payment_link=reference(raw, "payment_link"),
        payment_intent=reference(raw, "payment_intent"),
        subscription=reference(raw, "subscription"),
        invoice=reference(raw, "invoice"),
    )


def _mode_before_there_were_modes(raw: Raw) -> str:
    if reference(raw, "subscription"):
        return "subscription"
    return "setup" if reference(raw, "setup_intent") else "payment"


def _others(raw: Raw) -> tuple[str | None, ...]:
    names = ("payment_intent", "subscription", "invoice")
    return tuple(reference(raw, name) for name in names)


CHECKOUT_SESSION = Reader(
    kind=Kind.CHECKOUT_SESSION,
    stripe_name="checkout.session",
    states=(
        "Who bought what, and whether it is paid: the user (`client_reference_id`, else"
        " `metadata.user_id`), the plan by line items, metadata or payment link, and the payment,"
        " subscription and invoice it led to."
    ),
    fields=_fields,
    others=_others,
)
EVENTS = {
    "checkout.session.completed": Told(
        CHECKOUT_SESSION,
        Bearing.BOTH,
        "Grants at once if `paid` or `no_payment_required`, and waits if `unpaid`.",
    ),
    "checkout.session.async_payment_succeeded": Told(
        CHECKOUT_SESSION, Bearing.BOTH, "The money of a delayed payment has come: grants now."
    ),
    "checkout.session.async_payment_failed": Told(
        CHECKOUT_SESSION,
        Bearing.ACCESS,
        "The delayed payment failed: the purchase is `failed` and grants nothing.",
    ),
    "checkout.session.expired": Told(
        CHECKOUT_SESSION,
        Bearing.ACCESS,
        "Nobody paid: the purchase is `expired` and grants nothing.",
    ),
}
