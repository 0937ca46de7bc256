"""One-time purchases, line by line, with the payment for them and what they give."""

from functools import partial

from flask import Blueprint, Response, abort, url_for
from sqlalchemy import Connection

from billing.text import storable
from models.projected import PURCHASE_STATUSES
from ops.console.pages.frame import Frame
from ops.console.pages.list_forms import ListForm, lead_to
from ops.console.pages.objects import ObjectList, choose_realm, show_list
from ops.queries.naming_facts import ids_named_by
from ops.queries.object_details import PurchaseDetails, payment_details, purchase_details
from ops.queries.object_pages import PurchaseFilter, purchase_page


def purchases_pages(frame: Frame) -> Blueprint:
    """Return the routes of purchases."""
    pages = Blueprint("purchases", __name__)
    frame.add_to_navigation("Purchases", "purchases.show_all")
    purchases = ObjectList(
        template="purchases/list.html",
        read_filter=_read_filter,
        load=partial(purchase_page, realms=frame.realms),
    )

    @pages.get("/purchases")
    def show_all() -> Response:
        return show_list(frame, purchases, statuses=PURCHASE_STATUSES)

    @pages.get("/purchases/<stripe_id>")
    def show(stripe_id: str) -> Response:
        asked = storable(stripe_id)
        found = frame.read(lambda connection: purchase_details(connection, asked, frame.realms))
        if not found:
            return _lead_to_purchase(frame, asked)
        seen, elsewhere = choose_realm(found, _realm)
        return frame.render("purchases/show.html", seen=seen, elsewhere=elsewhere)

    return pages


def _read_filter(form: ListForm) -> PurchaseFilter:
    return PurchaseFilter(
        status=form.choice("status", PURCHASE_STATUSES),
        user=form.text("user"),
        plan=form.text("plan"),
        payment=form.text("payment"),
    )


def _lead_to_purchase(frame: Frame, stripe_id: str) -> Response:
    """Lead from a checkout to its purchase, or to the payment of what it sold."""

    def find(connection: Connection) -> str | None:
        for each in sorted(ids_named_by(connection, stripe_id, frame.realms)):
            if purchase_details(connection, each, frame.realms):
                return url_for("purchases.show", stripe_id=each)
            if payment_details(connection, each, frame.realms):
                return url_for("payments.show", stripe_id=each)
        return None

    url = frame.read(find)
    if url is None:
        abort(404, f"No purchase by {stripe_id} is known. Its events may say why.")
    return lead_to(url)


def _realm(seen: PurchaseDetails) -> str:
    return seen.lines[0].realm
