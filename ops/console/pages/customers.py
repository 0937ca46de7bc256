"""Customers of Stripe, whose they are, and everything they bought."""

from flask import Blueprint, Response

from billing.text import storable
from ops.console.pages.frame import Frame
from ops.console.pages.list_forms import ListForm
from ops.console.pages.objects import ObjectList, choose_realm, show_list
from ops.queries.object_details import CustomerDetails, customer_details
from ops.queries.object_pages import CustomerFilter, customer_page


def customers_pages(frame: Frame) -> Blueprint:
    """Return the routes of customers."""
    pages = Blueprint("customers", __name__)
    frame.add_to_navigation("Customers", "customers.show_all")
    customers = ObjectList(
        template="customers/list.html", read_filter=_read_filter, load=customer_page
    )

    @pages.get("/customers")
    def show_all() -> Response:
        return show_list(frame, customers)

    @pages.get("/customers/<stripe_id>")
    def show(stripe_id: str) -> Response:
        asked = storable(stripe_id)
        found = frame.read(lambda connection: customer_details(connection, asked, frame.realms))
        seen, elsewhere = choose_realm(found, _realm)
        return frame.render("customers/show.html", seen=seen, elsewhere=elsewhere)

    return pages


def _read_filter(form: ListForm) -> CustomerFilter:
    return CustomerFilter(
        user=form.text("user"),
        email=form.text("email"),
        without_user=form.text("without_user") is not None,
    )


def _realm(seen: CustomerDetails) -> str:
    return seen.customer.realm
