"""Payments: their money back and forth, what they were for, and the events that say so."""

from dataclasses import dataclass
from functools import partial
from typing import Final

from flask import Blueprint, Response, abort, url_for
from sqlalchemy import Connection

from billing.text import storable
from models.projected import PAYMENT_STATUSES
from ops.console.pages.frame import Frame
from ops.console.pages.list_forms import ListForm, lead_to
from ops.console.pages.objects import ObjectList, choose_realm, show_list
from ops.queries.audit import AuditEntry, AuditFilter
from ops.queries.audit_pages import audit_page
from ops.queries.naming_facts import NamingFact, facts_naming, ids_named_by
from ops.queries.object_details import PaymentDetails, payment_details
from ops.queries.object_pages import PaymentFilter, payment_page
from ops.queries.pages import PageRequest

_INVOICE: Final = "in_"
_ENTRIES_SHOWN: Final = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundPayment:
    """A payment in one realm, with the facts that name it."""

    details: PaymentDetails
    facts: tuple[NamingFact, ...]
    audit: tuple[AuditEntry, ...]


def payments_pages(frame: Frame) -> Blueprint:
    """Return the routes of payments."""
    pages = Blueprint("payments", __name__)
    frame.add_to_navigation("Payments", "payments.show_all")
    payments = ObjectList(
        template="payments/list.html",
        read_filter=_read_filter,
        load=partial(payment_page, realms=frame.realms),
    )

    @pages.get("/payments")
    def show_all() -> Response:
        return show_list(frame, payments, statuses=PAYMENT_STATUSES)

    @pages.get("/payments/<stripe_id>")
    def show(stripe_id: str) -> Response:
        asked = storable(stripe_id)
        found = frame.read(lambda connection: _find(connection, frame, asked))
        if not found:
            return _lead_to_payment(frame, asked)
        seen, elsewhere = choose_realm(found, _realm)
        return frame.render("payments/show.html", seen=seen, elsewhere=elsewhere)

    return pages


def _read_filter(form: ListForm) -> PaymentFilter:
    return PaymentFilter(
        status=form.choice("status", PAYMENT_STATUSES),
        user=form.text("user"),
        customer=form.text("customer"),
        invoice=form.text("invoice"),
        plan=form.text("plan"),
        refunded=form.text("refunded") is not None,
        disputed=form.text("disputed") is not None,
        **form.time_range("since", "until"),
    )


def _find(connection: Connection, frame: Frame, payment_ref: str) -> tuple[FoundPayment, ...]:
    audited = AuditFilter(target_type="payment", target=payment_ref)
    return tuple(
        FoundPayment(
            details=each,
            facts=facts_naming(connection, each.payment.party, each.payment.realm, payment_ref),
            audit=audit_page(connection, audited, PageRequest(limit=_ENTRIES_SHOWN)).rows,
        )
        for each in payment_details(connection, payment_ref, frame.realms)
    )


def _lead_to_payment(frame: Frame, stripe_id: str) -> Response:
    """Lead from an invoice, a charge, a refund or a dispute to the payment that it is about."""

    def find(connection: Connection) -> tuple[str, ...]:
        if stripe_id.startswith(_INVOICE):
            of_invoice = PaymentFilter(invoice=stripe_id)
            page = payment_page(connection, of_invoice, PageRequest(limit=2), realms=frame.realms)
            return tuple(each.payment_ref for each in page.rows)
        named = sorted(ids_named_by(connection, stripe_id, frame.realms))
        return tuple(each for each in named if payment_details(connection, each, frame.realms))

    payments = frame.read(find)
    if len(payments) > 1:
        return lead_to(url_for("payments.show_all", invoice=stripe_id))
    if not payments:
        abort(404, f"No payment of {stripe_id} is known. Its events may say why.")
    return lead_to(url_for("payments.show", stripe_id=payments[0]))


def _realm(seen: FoundPayment) -> str:
    return seen.details.payment.realm
