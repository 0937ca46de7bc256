"""Subscriptions, the payments of their invoices, and what they give."""

from functools import partial
from typing import Final

from flask import Blueprint, Response

from billing.text import storable
from ops.console.pages.frame import Frame
from ops.console.pages.list_forms import ListForm
from ops.console.pages.objects import ObjectList, choose_realm, show_list
from ops.queries.object_details import SubscriptionDetails, subscription_details
from ops.queries.object_pages import SubscriptionFilter, subscription_page
from runtime.ledger import catalogues

STATUSES: Final = (
    "active",
    "trialing",
    "past_due",
    "unpaid",
    "paused",
    "incomplete",
    "incomplete_expired",
    "canceled",
)
"""Stripe's statuses (https://docs.stripe.com/api/subscriptions/object#subscription_object-status)."""


def subscriptions_pages(frame: Frame) -> Blueprint:
    """Return the routes of subscriptions."""
    pages = Blueprint("subscriptions", __name__)
    frame.add_to_navigation("Subscriptions", "subscriptions.show_all")

    def read_filter(form: ListForm) -> SubscriptionFilter:
        plan = form.text("plan")
        return SubscriptionFilter(
            status=form.choice("status", STATUSES),
            user=form.text("user"),
            customer=form.text("customer"),
            prices=_prices_of(frame, form, plan) if plan else (),
            canceling=form.text("canceling") is not None,
        )

    subscriptions = ObjectList(
        template="subscriptions/list.html",
        read_filter=read_filter,
        load=partial(subscription_page, realms=frame.realms),
    )

    @pages.get("/subscriptions")
    def show_all() -> Response:
        return show_list(frame, subscriptions, statuses=STATUSES)

    @pages.get("/subscriptions/<stripe_id>")
    def show(stripe_id: str) -> Response:
        asked = storable(stripe_id)
        found = frame.read(lambda connection: subscription_details(connection, asked, frame.realms))
        seen, elsewhere = choose_realm(found, _realm)
        return frame.render("subscriptions/show.html", seen=seen, elsewhere=elsewhere)

    return pages


def _prices_of(frame: Frame, form: ListForm, code: str) -> tuple[str, ...]:
    """Return the prices of a plan; a lookup key stands for the prices that bear it."""
    catalogue = frame.read(catalogues.current_catalogue).catalogue
    plan = catalogue.plan_by_code(code)
    if plan is None:
        form.errors.append(f"There is no plan “{code}”.")
        return ()
    bearing = (price for price, key in catalogue.price_keys.items() if key in plan.prices)
    return (*plan.prices, *bearing)


def _realm(seen: SubscriptionDetails) -> str:
    return seen.subscription.realm
