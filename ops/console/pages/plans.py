"""The plans in force: what they sell and give, who holds them, and how they came to be."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from flask import Blueprint, Response, request
from sqlalchemy import Connection

from billing.catalogue import Catalogue, Plan
from billing.text import storable
from ops.console.pages.frame import Frame, found_or_404
from ops.console.pages.list_forms import asked_page, beside, first_page, lead_to
from ops.console.pages.plans_comparison import add_comparison_routes
from ops.doctor.check_waiting import find_unplanned_prices
from ops.queries.object_details import GivenEntitlement
from ops.queries.pages import Page, PageRequest, UnusableCursor
from ops.queries.plan_pages import (
    COUNTED_HOLDERS,
    CatalogueVersion,
    PlansInForce,
    catalogue_page,
    holder_page,
    plans_in_force,
)
from runtime.ledger import catalogues

_PRICES_SHOWN: Final = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanView:
    """One plan; ``sold`` is false if only an earlier version of the plans had it."""

    plan: Plan
    sold: bool
    version: int
    keyed_prices: Sequence[str]
    """The prices that bear a lookup key of the plan."""
    holders: Page[GivenEntitlement]


def plans_pages(frame: Frame) -> Blueprint:
    """Return the routes of plans."""
    pages = Blueprint("plans", __name__)
    frame.add_to_navigation("Plans", "plans.show_all")

    @pages.get("/plans")
    def show_all() -> Response:
        return _show_all(frame)

    @pages.get("/plans/show")
    def show() -> Response:
        return _show(frame, storable(request.args.get("code", "")))

    @pages.get("/plans/prices")
    def show_unplanned() -> Response:
        found = frame.read(
            lambda connection: find_unplanned_prices(connection, limit=_PRICES_SHOWN + 1)
        )
        return frame.render(
            "plans/prices.html", prices=found[:_PRICES_SHOWN], more=len(found) > _PRICES_SHOWN
        )

    add_comparison_routes(pages, frame)
    return pages


def _show_all(frame: Frame) -> Response:
    def load(connection: Connection) -> tuple[PlansInForce | None, Page[CatalogueVersion]]:
        return plans_in_force(connection), catalogue_page(connection, asked_page())

    try:
        seen, versions = frame.read(load)
    except UnusableCursor:
        return lead_to(first_page())
    return frame.render(
        "plans/list.html",
        seen=seen,
        versions=versions,
        beside=beside(versions),
        counted=COUNTED_HOLDERS,
    )


def _show(frame: Frame, code: str) -> Response:
    try:
        found = frame.read(lambda connection: _load(connection, code, asked_page()))
    except UnusableCursor:
        return lead_to(first_page())
    seen = found_or_404(found)
    return frame.render("plans/show.html", seen=seen, beside=beside(seen.holders))


def _load(connection: Connection, code: str, asked: PageRequest) -> PlanView | None:
    record = catalogues.current_catalogue(connection)
    known = [each.plan_by_code(code) for each in (record.catalogue, *record.catalogue.former)]
    plan = next((each for each in known if each is not None), None)
    if plan is None:
        return None
    return PlanView(
        plan=plan,
        sold=known[0] is not None,
        version=record.version,
        keyed_prices=_keyed(record.catalogue, plan),
        holders=holder_page(connection, code, asked),
    )


def _keyed(catalogue: Catalogue, plan: Plan) -> Sequence[str]:
    bearing = (price for price, key in catalogue.price_keys.items() if key in plan.prices)
    return sorted(set(bearing) - set(plan.prices))
