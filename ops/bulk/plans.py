"""Bulk plans: a fixed set of events with a fingerprint, and everything that is read about them.

    planned -> previewing -> previewed -> waiting (for approval) -> running -> done
    planned, previewed, waiting, running, paused -> cancelled; running <-> paused

The fingerprint is a SHA-256 over the action, the sorted keys with their body hashes and dead-letter
states, the catalogue version and the release. It names what a person agrees to, and nothing that
the world may change meanwhile: the effect is decided when each event is applied.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy import Connection, Engine

from billing.ids import Realm
from models.tables import AuditLog, BulkDifference, BulkItem, BulkPlan
from ops.bulk.selection import write_items
from ops.bulk.targets import Selection, Target
from ops.errors import CommandFailed
from ops.queries.events import EventFilter
from ops.queries.rows import fetch
from ops.terminal.output import to_json
from paidup import __version__
from runtime.database.deadline import reading_at_length
from runtime.idempotency import CallResult, HitCounter, idempotent
from runtime.ledger.catalogues import OPERATOR, newest_version

REPLAY: Final = "replay"
DISCARD: Final = "discard"
ENDED: Final = ("done", "cancelled")
_IDS_SAID: Final = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class By:
    """The person or process that changes a plan, as the audit names it, and why."""

    actor: str
    reason: str | None = None


class PlanRefused(CommandFailed):
    """A plan cannot be made, or is not in a state for what was asked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanRequest:
    """The wish of a person: which action on which events, and why.

    ``only_letters`` selects among dead letters alone; a discard always does. ``said`` is kept
    instead of the selection if the events were chosen before.
    """

    action: str
    actor: str
    reason: str
    selection: Selection | tuple[Target, ...]
    realms: tuple[Realm, ...]
    only_letters: bool = False
    said: EventFilter | None = None

    def described(self) -> dict[str, Any]:
        """Return what an equal request has equal."""
        return {
            "action": self.action,
            "actor": self.actor,
            "reason": self.reason,
            "only_letters": self.only_letters,
            "selection": to_json(self.selection),
        }

    def selected(self) -> dict[str, Any]:
        """Return the selection as it is kept and shown: the filter, or the first ids."""
        if isinstance(self.selection, Selection):
            ids, wanted = self.selection.ids, self.selection.wanted
        else:
            ids, wanted = tuple(each.key for each in self.selection), self.said or EventFilter()
        if ids and wanted == EventFilter():
            return {"ids": [*ids[:_IDS_SAID]], "events": len(ids)}
        return {name: to_json(each) for name, each in asdict(wanted).items() if each}


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedAction:
    """One plan, as ``models.bulk.BulkPlan`` describes it."""

    id: int
    action: str
    actor: str
    reason: str
    made_at: datetime
    said: Mapping[str, Any]
    items: int
    fingerprint: str
    catalogue_version: int | None
    release: str
    state: str
    state_reason: str | None
    rate: float | None
    previewed: int
    previewed_at: datetime | None
    preview_counts: Mapping[str, int]
    approved_by: str | None
    approved_at: datetime | None
    bypassed_by: str | None
    started_at: datetime | None
    ended_at: datetime | None
    mark: int | None
    counts: Mapping[str, int]
    owner: str | None
    heartbeat_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedItem(Target):
    """One event of a plan; ``said`` is its result in words."""

    position: int
    body_sha256: str
    letter_state: str | None
    state: str = "waiting"
    said: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PreviewedChange:
    """A row of the preview before and after; ``takes`` access or moves money of the user."""

    position: int
    party: str
    kind: str
    user_id: str | None
    takes: bool
    before: Mapping[str, Any] | None
    after: Mapping[str, Any] | None


def make_plan(
    engine: Engine,
    request: PlanRequest,
    *,
    key: str | None = None,
    hits: HitCounter | None = None,
) -> CallResult[int]:
    """Make a plan and return its id; the same key of the same person gives the same plan.

    Raises:
        CommandFailed: no event matches, or an id does not exist or is in another state.
        IdempotencyError: see ``runtime.idempotency``.
    """
    with engine.begin() as connection, reading_at_length(connection):
        return _make(connection, request, key=key, scope=request.actor, hits=hits)


@idempotent("bulk_plans.make", describe=PlanRequest.described)
def _make(connection: Connection, request: PlanRequest) -> int:
    version = newest_version(connection)
    values = {
        "action": request.action,
        "actor": request.actor,
        "reason": request.reason,
        "said": request.selected(),
        "items": 0,
        "fingerprint": "",
        "catalogue_version": version,
        "release": __version__,
    }
    inserted = sa.insert(BulkPlan).values(**values).returning(BulkPlan.id)
    plan: int = connection.execute(inserted).scalar_one()
    items = write_items(
        connection,
        plan,
        request.selection,
        only_letters=request.only_letters or request.action == DISCARD,
        realms=request.realms,
    )
    if not items:
        raise PlanRefused("no event matches: nothing was changed")
    fixed = sa.update(BulkPlan).where(BulkPlan.id == plan)
    fingerprint = fingerprint_of(connection, plan)
    made = {"items": items, "fingerprint": fingerprint}
    connection.execute(fixed.values(**made))
    by = By(actor=request.actor, reason=request.reason)
    audit(connection, plan, "made", by, {"action": request.action} | made)
    return plan


def fingerprint_of(connection: Connection, plan: int) -> str:
    """Return the fingerprint of what is stored of a plan now."""
    return str(connection.execute(_FINGERPRINT, {"plan": plan}).scalar_one())


def audit(
    connection: Connection,
    plan: int,
    action: str,
    by: By,
    after: Mapping[str, Any] | None = None,
) -> None:
    """Write one audit entry about a plan, in the transaction of what it tells."""
    connection.execute(
        sa.insert(AuditLog).values(
            actor=by.actor,
            action=f"bulk_plan.{action}",
            outcome="done",
            origin=OPERATOR,
            target_type="bulk_plan",
            target_id=str(plan),
            after=sa.null() if after is None else dict(after),
            reason=by.reason,
        )
    )


def read_plan(connection: Connection, plan: int) -> PlannedAction:
    """Return a plan.

    Raises:
        PlanRefused: there is none with this number.
    """
    found = fetch(connection, PlannedAction, BulkPlan, BulkPlan.id == plan)
    if not found:
        raise PlanRefused(f"there is no plan {plan}: `paidup jobs list` shows them")
    return found[0]


def list_plans(
    connection: Connection, *, limit: int, before: int | None = None, open_only: bool = False
) -> Sequence[PlannedAction]:
    """Return plans, newest first; those before the number ``before`` if one is given."""
    conditions: list[sa.ColumnElement[bool]] = []
    if before is not None:
        conditions.append(BulkPlan.id < before)
    if open_only:
        conditions.append(BulkPlan.state.not_in(ENDED))
    newest = [BulkPlan.id.desc()]
    return fetch(connection, PlannedAction, BulkPlan, *conditions, order_by=newest, limit=limit)


def read_items(
    connection: Connection, plan: int, *, after: int = 0, limit: int, states: Sequence[str] = ()
) -> list[PlannedItem]:
    """Return items in their order, from the one after the position ``after`` on."""
    columns = (getattr(BulkItem, name) for name in _ITEM_FIELDS)
    query = sa.select(*columns).where(BulkItem.plan == plan, BulkItem.position > after)
    if states:
        query = query.where(BulkItem.state.in_(states))
    rows = connection.execute(query.order_by(BulkItem.position).limit(limit)).mappings()
    return [PlannedItem(**row, is_dead_letter=row["letter_state"] is not None) for row in rows]


def read_differences(
    connection: Connection, plan: int, *, after: int = 0, limit: int, takes_only: bool = False
) -> Sequence[PreviewedChange]:
    """Return what the preview showed, in its order, from the one after ``after`` on."""
    conditions = [BulkDifference.plan == plan, BulkDifference.position > after]
    if takes_only:
        conditions.append(BulkDifference.takes.is_(True))
    order = [BulkDifference.position]
    return fetch(
        connection, PreviewedChange, BulkDifference, *conditions, order_by=order, limit=limit
    )


_ITEM_FIELDS: Final = ("position", "key", "body_sha256", "letter_state", "state", "said")

_FINGERPRINT: Final = sa.text(
    # Hashes of a fixed length, so that even of a million events the aggregate stays small.
    "SELECT encode(sha256(convert_to(jsonb_build_array(action, catalogue_version, release)::text,"
    " 'UTF8') || (SELECT string_agg(sha256(convert_to("
    "jsonb_build_array(key, body_sha256, letter_state)::text, 'UTF8')), ''::bytea"
    " ORDER BY key COLLATE \"C\", letter_state) FROM bulk_items WHERE plan = :plan)), 'hex')"
    " FROM bulk_plans WHERE id = :plan"
)
