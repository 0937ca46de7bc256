"""Query the plans in force with the number of their holders, and the versions of the catalogue."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, func, select, true

from billing.catalogue import Catalogue, Plan, read_catalogue
from models.tables import StoredCatalogue, UserEntitlement
from ops.queries.object_details import GivenEntitlement
from ops.queries.pages import (
    Branch,
    Conditions,
    Listing,
    Page,
    PageRequest,
    capped_count,
    fetch_page,
)
from ops.queries.rows import fetch

COUNTED_HOLDERS: Final = 10_000
"""The holders of one plan that are counted; a larger number means more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CatalogueVersion:
    """A version of the catalogue: who applied it, when and why."""

    version: int
    applied_at: datetime
    applied_by: str
    reason: str | None
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanWithHolders:
    """A plan and the number of users who hold it now, which counts ``COUNTED_HOLDERS`` at most.

    One more stands for any larger number.
    """

    plan: Plan
    holders: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PlansInForce:
    """The catalogue in force, its version, and its plans with their holders."""

    version: CatalogueVersion
    catalogue: Catalogue
    plans: tuple[PlanWithHolders, ...]


def plans_in_force(connection: Connection) -> PlansInForce | None:
    """Return the plans in force, None if no plans were ever applied."""
    newest = [StoredCatalogue.version.desc()]
    found = fetch(connection, CatalogueVersion, StoredCatalogue, order_by=newest, limit=1)
    if not found:
        return None
    catalogue = load_catalogue(connection, found[0].version)
    assert catalogue is not None, "its row was read"  # noqa: S101 - in the same snapshot
    held = [
        PlanWithHolders(plan=plan, holders=count_holders(connection, plan.code))
        for plan in catalogue.plans
    ]
    return PlansInForce(version=found[0], catalogue=catalogue, plans=tuple(held))


def load_catalogue(connection: Connection, version: int) -> Catalogue | None:
    """Return the plans of one version, without those before it, or None if there is none."""
    query = select(StoredCatalogue.document).where(StoredCatalogue.version == version)
    document = connection.scalar(query)
    return None if document is None else read_catalogue(document)


def count_holders(connection: Connection, plan_code: str) -> int:
    """Return how many users hold a plan now, and ``COUNTED_HOLDERS + 1`` if they are more."""
    holders = select(UserEntitlement.user_id).where(
        UserEntitlement.plan_code == plan_code,
        UserEntitlement.active == true(),
        _in_force(UserEntitlement),
    )
    in_order = holders.distinct().order_by(UserEntitlement.user_id)
    return capped_count(connection, in_order, COUNTED_HOLDERS)


def catalogue_page(connection: Connection, asked: PageRequest) -> Page[CatalogueVersion]:
    """Return a page of the versions of the catalogue, newest first."""
    listing = Listing(
        shape=CatalogueVersion, model=StoredCatalogue, order=("version",), dated="applied_at"
    )
    return fetch_page(connection, listing, asked)


def holder_page(
    connection: Connection, plan_code: str, asked: PageRequest
) -> Page[GivenEntitlement]:
    """Return a page of what gives users a plan now, by user and source."""

    def in_force(row: type[UserEntitlement]) -> Conditions:
        return [_in_force(row)]

    listing = Listing(
        shape=GivenEntitlement,
        model=UserEntitlement,
        order=("user_id", "source", "realm"),
        branches=(
            Branch(pinned={"plan_code": plan_code}, conditions=(UserEntitlement.active == true(),)),
        ),
        filters=in_force,
        descending=False,
    )
    return fetch_page(connection, listing, asked)


def _in_force(row: Any) -> ColumnElement[bool]:
    holds: ColumnElement[bool] = row.expires_at.is_(None) | (row.expires_at > func.now())
    return holds
