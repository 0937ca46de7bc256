"""Lines of invoices and checkouts, in every API shape.

Since basil a line's surroundings stand under ``parent`` and its price under ``pricing``. Before,
both were on the line itself, and the id of a subscription's line was the subscription's.
"""

from datetime import datetime

from billing.facts import CreditedLine, Line
from billing.json_fields import (
    Raw,
    amount_in,
    flag_in,
    integer_in,
    object_in,
    objects_in,
    price_names_of,
    reference_in,
    signed_in,
    text_in,
    time_in,
)

_SUBSCRIPTION = "subscription"
_INVOICE_ITEM = "invoiceitem"


def invoice_lines(raw: Raw) -> tuple[Line, ...]:
    """Return the lines of an invoice."""
    return tuple(_invoice_line(row) for row in objects_in(raw, "lines"))


def session_lines(raw: Raw) -> tuple[Line, ...]:
    """Return the line items of a checkout, or its display items from before 2020."""
    rows = objects_in(raw, "line_items") or objects_in(raw, "display_items")
    return tuple(_session_line(row) for row in rows)


def credited_lines(raw: Raw) -> tuple[CreditedLine, ...]:
    """Return the lines of a credit note."""
    return tuple(
        CreditedLine(
            invoice_line=reference_in(row, "invoice_line_item"),
            amount=amount_in(row, "amount"),
            quantity=integer_in(row, "quantity"),
        )
        for row in objects_in(raw, "lines")
    )


def _invoice_line(row: Raw) -> Line:
    price, lookup_key, product = price_names_of(row)
    parent = _parent(row)
    kind = _kind(row)
    start, end = _period(row)
    return Line(
        id=text_in(row, "id"),
        amount=signed_in(row, "amount") or 0,
        price=price,
        lookup_key=lookup_key,
        product=product,
        quantity=integer_in(row, "quantity"),
        discount=_discount(row),
        kind=kind,
        proration=flag_in(row, "proration") or flag_in(parent, "proration"),
        invoice_item=_invoice_item(row, parent, kind),
        subscription=_subscription(row, parent, kind),
        subscription_item=(
            reference_in(row, "subscription_item") or reference_in(parent, "subscription_item")
        ),
        period_start=start,
        period_end=end,
    )


def _parent(row: Raw) -> Raw:
    parent = object_in(row, "parent")
    return object_in(parent, "subscription_item_details") or object_in(
        parent, "invoice_item_details"
    )


def _kind(row: Raw) -> str | None:
    named = text_in(object_in(row, "parent"), "type")
    if named is None:
        return text_in(row, "type")
    if flag_in(_parent(row), "proration"):
        # Since basil a proration may stand under its subscription's item; before, it was an item
        # of the invoice.
        return _INVOICE_ITEM
    return _SUBSCRIPTION if named == "subscription_item_details" else _INVOICE_ITEM


def _invoice_item(row: Raw, parent: Raw, kind: str | None) -> str | None:
    # Since basil the line of a subscription's own item may have one too, which nothing needs.
    if kind == _SUBSCRIPTION:
        return None
    return reference_in(row, "invoice_item") or reference_in(parent, "invoice_item")


def _subscription(row: Raw, parent: Raw, kind: str | None) -> str | None:
    named = reference_in(row, "subscription") or reference_in(parent, "subscription")
    own_id = text_in(row, "id") or ""
    # Until 2019 the line of a subscription had the subscription's own id.
    return named or (own_id if kind == _SUBSCRIPTION and own_id.startswith("sub_") else None)


def _period(row: Raw) -> tuple[datetime | None, datetime | None]:
    period = object_in(row, "period")
    return time_in(period, "start"), time_in(period, "end")


def _discount(row: Raw) -> int:
    return sum(amount_in(each, "amount") for each in objects_in(row, "discount_amounts"))


def _is_recurring(row: Raw) -> bool:
    price = object_in(row, "price")
    return bool(object_in(price, "recurring") or object_in(row, "plan"))


def _session_line(row: Raw) -> Line:
    price, lookup_key, product = price_names_of(row)
    stated = integer_in(row, "amount_subtotal")
    return Line(
        id=text_in(row, "id"),
        kind=_SUBSCRIPTION if _is_recurring(row) else None,
        amount=amount_in(row, "amount") if stated is None else stated,
        price=price,
        lookup_key=lookup_key,
        product=product,
        quantity=integer_in(row, "quantity"),
        discount=amount_in(row, "amount_discount"),
    )
