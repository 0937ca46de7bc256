"""Print a record as Stripe prints the object in one API version."""

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, Final

from ops.samples.api_shapes import Shape
from ops.samples.emails import email_of
from ops.samples.scenario import DAY
from ops.samples.unread_fields import JsonObject, unread_fields
from ops.samples.worlds import records
from ops.samples.worlds.offers import StripePrice

SHOWN: Final = 10
"""Entries of a list that an event shows."""


def render(record: records.Record, shape: Shape) -> JsonObject:
    """Return the object as an event of this shape contains it."""
    if isinstance(record, records.Noise):
        return dict(record.raw)
    return _RENDERERS[type(record)](record, shape)


def render_event(
    event_type: str,
    data: JsonObject,
    *,
    event_id: str,
    created: int,
    api_version: str,
    livemode: bool = False,
    connected: str | None = None,
    request: str | None = None,
) -> JsonObject:
    """Return a snapshot event in Stripe's order of fields; ``request`` was an id at first."""
    return {
        "id": event_id,
        "object": "event",
        **({"account": connected} if connected else {}),
        "api_version": str(api_version),
        "created": created,
        "data": data,
        "livemode": livemode,
        "pending_webhooks": 1,
        "request": request or {"id": None, "idempotency_key": None},
        "type": event_type,
    }


def _whole(kind: str, shape: Shape, **fields: object) -> JsonObject:
    """Return an object with all its unread fields, in the order in which Stripe prints them."""
    whole = {**_unread(kind, shape), **fields, "object": kind}
    first = [name for name in ("id", "object") if name in whole]
    return {name: whole[name] for name in (*first, *sorted(whole.keys() - first))}


@cache
def _unread(kind: str, shape: Shape) -> JsonObject:
    return unread_fields(kind, shape)


def _listed(data: list[JsonObject], url: str, *, cut: bool = True) -> JsonObject:
    shown = data[:SHOWN] if cut else data
    return {
        "object": "list",
        "data": shown,
        "has_more": len(shown) < len(data),
        "total_count": len(data),
        "url": url,
    }


def _customer(record: records.Customer, shape: Shape) -> JsonObject:
    return _whole(
        "customer",
        shape,
        id=record.id,
        created=record.created,
        email=record.email,
        invoice_prefix=record.id[-8:].upper(),
        metadata=dict(record.metadata),
        test_clock=record.test_clock,
        **({"deleted": True} if record.deleted else {}),
    )


def render_plan(offer: StripePrice, shape: Shape) -> JsonObject:
    """Return a price as a plan, which Stripe still sends beside it."""
    return _whole(
        "plan",
        shape,
        id=offer.price,
        amount=offer.amount,
        amount_decimal=str(offer.amount),
        interval=offer.interval,
        nickname=offer.nickname or offer.price,
        product=offer.product,
    )


def render_price(offer: StripePrice, shape: Shape) -> JsonObject:
    """Return a price."""
    recurring = {"interval": offer.interval, "interval_count": 1, "usage_type": "licensed"}
    return _whole(
        "price",
        shape,
        id=offer.price,
        lookup_key=offer.lookup_key,
        nickname=offer.nickname or offer.price,
        product=offer.product,
        recurring=recurring if offer.interval else None,
        type="recurring" if offer.interval else "one_time",
        unit_amount=offer.amount,
        unit_amount_decimal=str(offer.amount),
    )


def _subscription(record: records.Subscription, shape: Shape) -> JsonObject:
    first = record.items[0]
    old = shape is not Shape.NEW
    period = {"current_period_start": first.start, "current_period_end": first.end}
    items = [render_item(record.id, record.created, item, shape) for item in record.items]
    url = f"/v1/subscription_items?subscription={record.id}"
    pause = {"behavior": "void", "resumes_at": record.resumes_at} if record.paused else None
    return _whole(
        "subscription",
        shape,
        id=record.id,
        billing_cycle_anchor=record.trial_end or record.created,
        cancel_at=record.cancel_at,
        cancel_at_period_end=record.cancel_at_period_end,
        canceled_at=record.canceled_at,
        cancellation_details={
            "comment": None,
            "feedback": None,
            "reason": "cancellation_requested" if record.canceled_at else None,
        },
        customer=record.customer,
        description=record.description,
        ended_at=record.ended_at,
        latest_invoice=record.latest_invoice,
        metadata=dict(record.metadata),
        pause_collection=pause,
        plan=render_plan(first.offer, shape) if len(record.items) == 1 else None,
        quantity=first.quantity if len(record.items) == 1 else None,
        schedule=record.schedule,
        status=record.status,
        test_clock=record.test_clock,
        trial_end=record.trial_end,
        trial_start=record.created if record.trial_end else None,
        **(period if old else {}),
        **(
            {"start": record.created}
            if shape is Shape.ANCIENT
            else {
                "created": record.created,
                "items": _listed(items, url),
                "start_date": record.created,
            }
        ),
    )


def render_item(
    holder: str, created: int, item: records.SubscriptionItem, shape: Shape
) -> JsonObject:
    """Return an item as its subscription lists it."""
    period = {"current_period_start": item.start, "current_period_end": item.end}
    return _whole(
        "subscription_item",
        shape,
        id=item.id,
        created=created,
        plan=render_plan(item.offer, shape),
        price=render_price(item.offer, shape),
        subscription=holder,
        **({} if item.quantity is None else {"quantity": item.quantity}),
        **(period if shape is Shape.NEW else {}),
    )


def _invoice(record: records.Invoice, shape: Shape) -> JsonObject:
    lines = [render_line(record.id, line, shape) for line in record.lines]
    moments = {
        "finalized_at": record.finalized_at,
        "marked_uncollectible_at": None,
        "paid_at": record.paid_at,
        "voided_at": None,
    }
    return _whole(
        "invoice",
        shape,
        id=record.id,
        amount_due=record.due,
        amount_paid=record.amount_paid,
        amount_remaining=max(record.due - record.amount_paid, 0),
        attempt_count=record.attempts,
        attempted=record.attempts > 0,
        auto_advance=record.next_attempt_at is not None,
        billing_reason=record.reason,
        customer=record.customer,
        due_date=record.due_at,
        customer_email=record.email or email_of(record.customer),
        lines=_listed(lines, f"/v1/invoices/{record.id}/lines"),
        metadata=dict(record.metadata),
        next_payment_attempt=record.next_attempt_at,
        number=f"{record.id[-8:].upper()}-0001" if record.finalized_at else None,
        period_end=record.created,
        period_start=record.created,
        starting_balance=-record.balance,
        status_transitions=moments,
        subtotal=record.total,
        test_clock=record.test_clock,
        total=record.total,
        **_stage(record, shape),
        **_paths_of_invoice(record, shape),
    )


def _stage(record: records.Invoice, shape: Shape) -> JsonObject:
    """Return the fields that state an invoice's time and status: flags first, later a status."""
    paid = record.status == "paid"
    if shape is Shape.ANCIENT:
        given_up = record.status == "uncollectible"
        return {"date": record.created, "paid": paid, "closed": paid, "forgiven": given_up}
    stated: JsonObject = {"created": record.created, "status": record.status}
    if shape is Shape.OLD:
        stated |= {"paid": paid, "paid_out_of_band": record.out_of_band}
    return stated


def _paths_of_invoice(record: records.Invoice, shape: Shape) -> JsonObject:
    details = {"metadata": dict(record.copied)}
    if shape is Shape.NEW:
        whole = {**details, "subscription": record.subscription}
        parent = {
            "quote_details": None,
            "subscription_details": whole,
            "type": "subscription_details",
        }
        return {"parent": parent if record.subscription else None}
    paths: JsonObject = {"subscription": record.subscription, "charge": record.charge}
    if shape is Shape.OLD:
        paths |= {"payment_intent": record.intent}
        paths |= {"subscription_details": details if record.subscription else None}
    return paths


def render_line(bill: str, line: records.InvoiceLine, shape: Shape) -> JsonObject:
    """Return a line as its invoice lists it."""
    paths = _new_line_paths if shape is Shape.NEW else _old_line_paths
    taken_off = [{"amount": line.discount, "discount": "di_1"}] if line.discount else []
    return _whole(
        "line_item",
        shape,
        id=line.subscription if shape is Shape.ANCIENT and line.item else line.id,
        amount=line.amount,
        description=f"{line.quantity} x {line.offer.nickname or line.offer.price}",
        discount_amounts=taken_off,
        period={"start": line.start, "end": line.end},
        quantity=line.quantity,
        **({"invoice": bill} if shape is Shape.NEW else {}),
        **paths(line, shape),
    )


def _old_line_paths(line: records.InvoiceLine, shape: Shape) -> JsonObject:
    item_line = line.item is not None and (line.invoice_item is None or not line.proration)
    return {
        "plan": render_plan(line.offer, shape) if line.offer.interval else None,
        **({} if shape is Shape.ANCIENT else {"price": render_price(line.offer, shape)}),
        **({"invoice_item": line.invoice_item} if line.invoice_item else {}),
        **({"subscription_item": line.item} if line.item and shape is Shape.OLD else {}),
        "proration": line.proration,
        "proration_details": {"credited_items": None},
        "subscription": line.subscription,
        "type": "subscription" if item_line else "invoiceitem",
    }


def _new_line_paths(line: records.InvoiceLine, _: Shape) -> JsonObject:
    kind = "subscription_item_details" if line.item else "invoice_item_details"
    details: JsonObject = {
        "invoice_item": line.invoice_item,
        "proration": line.proration,
        "proration_details": {"credited_items": None},
        "subscription": line.subscription,
        **({"subscription_item": line.item} if line.item else {}),
    }
    parent = {"invoice_item_details": None, "subscription_item_details": None, "type": kind}
    return {
        "parent": {**parent, kind: details},
        "pricing": {
            "price_details": {"price": line.offer.price, "product": line.offer.product},
            "type": "price_details",
            "unit_amount_decimal": str(line.offer.amount),
        },
    }


def _intent(record: records.Intent, shape: Shape) -> JsonObject:
    reference = record.invoice[:25] if record.invoice else None
    details = {"customer_reference": None, "order_reference": reference}
    error = {"charge": record.failed_charge, "code": "card_declined", "type": "card_error"}
    return _whole(
        "payment_intent",
        shape,
        id=record.id,
        amount=record.amount,
        amount_capturable=record.capturable,
        amount_received=record.received,
        capture_method=record.capture_method,
        client_secret=f"{record.id}_secret",
        created=record.created,
        currency=record.currency,
        customer=record.customer,
        last_payment_error=error if record.failed_charge else None,
        latest_charge=record.latest_charge,
        metadata=dict(record.metadata),
        payment_method=record.payment_method,
        status=record.status,
        **({"payment_details": details} if shape is Shape.NEW else {"invoice": record.invoice}),
    )


def _charge(record: records.Charge, shape: Shape) -> JsonObject:
    refunded, failed = sum(each.amount for each in record.refunds), record.status == "failed"
    paths: JsonObject = {} if shape is Shape.NEW else {"invoice": record.invoice}
    old = shape is Shape.ANCIENT
    if old:
        listed = [_refund(refund, shape) for refund in record.refunds]
        paths |= {"refunds": _listed(listed, f"/v1/charges/{record.id}/refunds")}
    else:
        paths |= {"payment_intent": record.intent, "amount_captured": record.amount_captured}
    return _whole(
        "charge",
        shape,
        id=record.id,
        amount=record.amount,
        amount_refunded=refunded + record.released,
        balance_transaction=f"txn_{record.id[3:]}" if record.captured else None,
        captured=record.captured,
        created=record.created,
        currency=record.currency,
        customer=record.customer,
        dispute=record.dispute,
        disputed=record.dispute is not None,
        failure_code="card_declined" if failed else None,
        failure_message="Your card was declined." if failed else None,
        metadata=dict(record.metadata),
        paid=record.status == "succeeded",
        payment_method=f"pm_{record.id[3:]}",
        refunded=0 < record.amount_captured == refunded,
        status="paid" if old and record.status == "succeeded" else record.status,
        **paths,
    )


def _refund(record: records.Refund, shape: Shape) -> JsonObject:
    modern = (
        {}
        if shape is Shape.ANCIENT
        else {
            "payment_intent": record.intent,
            "status": record.status,
        }
    )
    return _whole(
        "refund",
        shape,
        id=record.id,
        amount=record.amount,
        balance_transaction=f"txn_{record.id[3:]}",
        charge=record.charge,
        created=record.created,
        currency=record.currency,
        receipt_number=record.receipt_number,
        **modern,
    )


def _dispute(record: records.Dispute, shape: Shape) -> JsonObject:
    due = {"due_by": record.created + 9 * DAY, "has_evidence": False, "submission_count": 0}
    return _whole(
        "dispute",
        shape,
        id=record.id,
        amount=record.amount,
        charge=record.charge,
        created=record.created,
        currency=record.currency,
        evidence_details=due,
        status=record.status,
        **({} if shape is Shape.ANCIENT else {"payment_intent": record.intent}),
    )


def _session(record: records.Session, shape: Shape) -> JsonObject:
    return _whole(
        "checkout.session",
        shape,
        id=record.id,
        amount_subtotal=record.amount,
        amount_total=record.amount,
        client_reference_id=record.reference,
        created=record.created,
        currency=record.currency,
        customer=record.customer,
        customer_details={
            "email": email_of(record.reference or record.metadata.get("user_id") or record.id),
            "name": "Ada Example",
            "tax_ids": [],
        },
        expires_at=record.created + DAY,
        invoice=record.invoice,
        metadata=dict(record.metadata),
        mode=record.mode,
        payment_intent=record.intent,
        payment_link=record.payment_link,
        payment_status=record.payment_status,
        status=record.status,
        subscription=record.subscription,
    )


def render_session_line(line_id: str, offer: StripePrice, shape: Shape) -> JsonObject:
    """Return one of a price as Stripe's API lists it among the lines of a checkout."""
    return {
        "id": line_id,
        "object": "item",
        "amount_discount": 0,
        "amount_subtotal": offer.amount,
        "amount_tax": 0,
        "amount_total": offer.amount,
        "currency": "usd",
        "description": offer.nickname or offer.price,
        "price": render_price(offer, shape),
        "quantity": 1,
    }


def _invoice_payment(record: records.InvoicePayment, shape: Shape) -> JsonObject:
    paid = record.status == "paid"
    return _whole(
        "invoice_payment",
        shape,
        id=record.id,
        amount_paid=record.amount if paid else None,
        amount_requested=record.amount,
        created=record.created,
        invoice=record.invoice,
        payment={"payment_intent": record.intent, "type": "payment_intent"},
        status=record.status,
        status_transitions={"canceled_at": None, "paid_at": record.created if paid else None},
    )


def _credit_note(record: records.CreditNote, shape: Shape) -> JsonObject:
    lines = _credited_lines(record)
    refunds = (
        [{"refund": record.refund, "amount_refunded": record.refund_amount}]
        if record.refund
        else []
    )
    paths = {"refunds": refunds} if shape is Shape.NEW else {"refund": record.refund}
    return {
        "id": record.id,
        "object": "credit_note",
        "amount": record.amount,
        "created": record.created,
        "currency": record.currency,
        "customer": record.customer,
        "customer_balance_transaction": None,
        "invoice": record.invoice,
        "lines": _listed(lines, f"/v1/credit_notes/{record.id}/lines"),
        "livemode": False,
        "metadata": {},
        "out_of_band_amount": record.out_of_band or None,
        "post_payment_amount": record.amount,
        "pre_payment_amount": 0,
        "reason": None,
        "status": record.status,
        "subtotal": record.amount,
        "total": record.amount,
        "type": "post_payment",
        "voided_at": record.voided_at,
        **paths,
    }


def _credited_lines(record: records.CreditNote) -> list[JsonObject]:
    named: list[JsonObject] = [
        {
            "id": f"cnli_{record.id[3:]}_{number}",
            "object": "credit_note_line_item",
            "amount": amount,
            "invoice_line_item": line,
            "livemode": False,
            "quantity": 1,
            "type": "invoice_line_item",
        }
        for number, (line, amount) in enumerate(record.lines)
    ]
    return named or [
        {
            "id": f"cnli_{record.id[3:]}",
            "object": "credit_note_line_item",
            "amount": record.amount,
            "livemode": False,
            "quantity": 1,
            "type": "custom_line_item",
        }
    ]


def _features(record: records.FeatureList, shape: Shape) -> JsonObject:
    active = render_active_features(record, shape)
    listed = _listed(active, f"/v1/customer/{record.customer}/entitlements")
    return _whole(
        "entitlements.active_entitlement_summary",
        shape,
        customer=record.customer,
        entitlements={name: listed[name] for name in ("object", "data", "has_more", "url")},
    )


def render_active_features(record: records.FeatureList, shape: Shape) -> list[JsonObject]:
    """Return everything that Stripe lists for a customer, as its API does."""
    return [
        _whole(
            "entitlements.active_entitlement",
            shape,
            id=f"ent_test_{record.customer[4:]}_{key}",
            feature=f"feat_test_{key}",
            lookup_key=key,
        )
        for key in record.keys
    ]


_RENDERERS: Mapping[type, Callable[[Any, Shape], JsonObject]] = {
    records.Customer: _customer,
    records.Subscription: _subscription,
    records.Invoice: _invoice,
    records.Intent: _intent,
    records.Charge: _charge,
    records.Refund: _refund,
    records.Dispute: _dispute,
    records.Session: _session,
    records.InvoicePayment: _invoice_payment,
    records.CreditNote: _credit_note,
    records.FeatureList: _features,
}
