"""The plans in force: what they sell and give, who holds them, and how they came to be."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from flask import Blueprint, Response, request
from sqlalchemy import Connection

from billing.catalogue import Catalogue, Plan
from billing.text import storable
from ops.console.pages.frame import Frame, found_or_404
from ops.console.pages.plans_comparison import add_comparison_routes
from ops.doctor.check_waiting import find_unplanned_prices
from ops.queries.plan_holders import (
    HolderCounts,
    PlansVersion,
    count_holders,
    holders_of,
    plans_versions,
)
from runtime.ledger import catalogues
from runtime.ledger.catalogues import VersionedCatalogue

_HOLDERS_SHOWN: Final = 50
_VERSIONS_SHOWN: Final = 50
_PRICES_SHOWN: Final = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class PlansView:
    """All plans in force, with their holders and the versions before them."""

    record: VersionedCatalogue
    holders: HolderCounts
    versions: Sequence[PlansVersion]


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanView:
    """One plan; ``sold`` is false if only an earlier version of the plans had it."""

    plan: Plan
    sold: bool
    version: int
    keyed_prices: Sequence[str]
    """The prices that bear a lookup key of the plan."""
    holders: Sequence[str]
    more: bool


def plans_pages(frame: Frame) -> Blueprint:
    """Return the routes of plans."""
    pages = Blueprint("plans", __name__)
    frame.add_to_navigation("Plans", "plans.show_all")

    @pages.get("/plans")
    def show_all() -> Response:
        return frame.render("plans/list.html", seen=frame.read(_load_all))

    @pages.get("/plans/show")
    def show() -> Response:
        code, after = storable(request.args.get("code", "")), request.args.get("after", "")
        found = frame.read(lambda connection: _load(connection, code, storable(after)))
        return frame.render("plans/show.html", seen=found_or_404(found), after=after)

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


def _load_all(connection: Connection) -> PlansView:
    record = catalogues.current_catalogue(connection)
    return PlansView(
        record=record,
        holders=count_holders(connection, [plan.code for plan in record.catalogue.plans]),
        versions=plans_versions(connection, limit=_VERSIONS_SHOWN),
    )


def _load(connection: Connection, code: str, after: str) -> PlanView | None:
    record = catalogues.current_catalogue(connection)
    known = [each.plan_by_code(code) for each in (record.catalogue, *record.catalogue.former)]
    plan = next((each for each in known if each is not None), None)
    if plan is None:
        return None
    holders = holders_of(connection, code, after=after, limit=_HOLDERS_SHOWN + 1)
    return PlanView(
        plan=plan,
        sold=known[0] is not None,
        version=record.version,
        keyed_prices=_keyed(record.catalogue, plan),
        holders=holders[:_HOLDERS_SHOWN],
        more=len(holders) > _HOLDERS_SHOWN,
    )


def _keyed(catalogue: Catalogue, plan: Plan) -> Sequence[str]:
    bearing = (price for price, key in catalogue.price_keys.items() if key in plan.prices)
    return sorted(set(bearing) - set(plan.prices))
