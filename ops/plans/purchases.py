"""Find the purchases that other plans would treat differently: by another plan, or once more.

A purchase is paid once, so its plan and its end are what its buyer was promised. A longer
``lasts_days``, a price in a plan without an end or a milder ``[policy]`` may begin again what had
ended long ago, and for all its buyers at once.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import cast

from sqlalchemy import Engine

from billing.catalogue import Catalogue
from billing.ids import PlanCode, UserId
from billing.rows import EntitlementRow, Key, PurchaseRow
from runtime.ledger.maintenance import scan
from runtime.ledger.maintenance.preview import PartyPreview, preview_parties
from runtime.ledger.rows import TableName


@dataclass(frozen=True, slots=True, kw_only=True)
class PurchaseMove:
    """A purchase, or a line of one, that would be of another plan; None is none."""

    purchase_ref: str
    line: str
    user_id: UserId | None
    before: PlanCode | None
    after: PlanCode | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RevivedPurchase:
    """A purchase that had ended and would begin again; ``until`` is None for good."""

    purchase_ref: str
    user_id: UserId
    plan_code: PlanCode
    until: datetime | None


def purchase_moves(preview: PartyPreview) -> Iterator[PurchaseMove]:
    """Yield the lines of a party that would change their plan, by purchase and line."""
    for key, after in sorted(preview.projection.purchases.items()):
        before = _purchases_before(preview).get(key)
        if before and before.plan_code != after.plan_code:
            yield PurchaseMove(
                purchase_ref=after.purchase_ref,
                line=after.line,
                user_id=after.user_id,
                before=before.plan_code,
                after=after.plan_code,
            )


def revived_purchases(preview: PartyPreview) -> Iterator[RevivedPurchase]:
    """Yield the grants of a party's purchases that had ended and would be in force."""
    purchases = {(row.realm, row.purchase_ref) for row in _purchases_before(preview).values()}
    for _, after in sorted(preview.projection.entitlements.items()):
        if (after.realm, after.source) not in purchases or not _in_force(after, preview.now):
            continue
        if _had_ended(after, preview) or _has_ended_lines(after, preview):
            yield RevivedPurchase(
                purchase_ref=after.source,
                user_id=after.user_id,
                plan_code=after.plan_code,
                until=after.expires_at,
            )


def find_revived(engine: Engine, plans: Catalogue) -> Iterator[RevivedPurchase]:
    """Yield what these plans would begin again, among the parties of which a purchase has ended."""
    for parties in scan.pages(engine, scan.parties_with_ended_purchases):
        with engine.connect() as connection:
            for preview in preview_parties(connection, plans, parties):
                yield from revived_purchases(preview)


def _had_ended(after: EntitlementRow, preview: PartyPreview) -> bool:
    """Return True if the grant had ended, under its plan or under all that the purchase had."""
    rows = cast("dict[Key, EntitlementRow]", preview.before[TableName.ENTITLEMENTS])
    same_plan = rows.get(after.key)
    if same_plan and _is_past(same_plan.expires_at, preview.now):
        return True
    of_source = [
        row for row in rows.values() if (row.realm, row.source) == (after.realm, after.source)
    ]
    none_stands = not any(_in_force(row, preview.now) for row in of_source)
    return none_stands and any(_is_past(row.expires_at, preview.now) for row in of_source)


def _has_ended_lines(after: EntitlementRow, preview: PartyPreview) -> bool:
    """Return True if a line that had ended by itself would count for the grant again."""
    before = _purchases_before(preview)
    return any(
        before[key].plan_code is not None
        and _is_past(before[key].ends_at, preview.now)
        and not _is_past(line.ends_at, preview.now)
        for key, line in preview.projection.purchases.items()
        if key in before
        and (line.realm, line.purchase_ref) == (after.realm, after.source)
        and line.plan_code == after.plan_code
    )


def _purchases_before(preview: PartyPreview) -> dict[Key, PurchaseRow]:
    return cast("dict[Key, PurchaseRow]", preview.before[TableName.PURCHASES])


def _in_force(row: EntitlementRow, now: datetime) -> bool:
    return row.active and not _is_past(row.expires_at, now)


def _is_past(end: datetime | None, now: datetime) -> bool:
    return end is not None and end <= now
