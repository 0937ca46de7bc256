"""Load everything the database holds about one user, for ``explain``."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, func, select

from billing.archiving.leaving import NoteKind
from billing.catalogue import Catalogue
from billing.facts import API_OBSERVATION, Kind
from billing.ids import ObjectKey, Realm, realm_in
from billing.ids import object_key as key_of
from billing.projection.effective import EffectiveValue
from billing.rows import EntitlementRow, PaymentRow, PurchaseRow, SubscriptionRow
from models.tables import (
    AuditLog,
    Party,
    StoredFact,
    StoredObservation,
    StoredPayment,
    StoredPurchase,
    StoredStatement,
    StoredSubscription,
    StripeEvent,
    UserEntitlement,
    effective_entitlements,
)
from ops.queries.audit_history import database_now
from ops.queries.event_trace import describe_asking
from ops.queries.ineffective_events import IneffectiveEvent, events_without_effect
from ops.queries.links import ListedLink, links_to
from ops.queries.lookups import Lookup, parties_meant
from ops.queries.rows import fetch, load_rows, read_row
from runtime.database.one_of import one_of
from runtime.ledger import catalogues
from runtime.ledger.maintenance.archive_updates import UpdateProgress, updates_in_progress
from runtime.ledger.notes import notes_of_parties


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """A row of ``user_entitlements`` with the event or API observation that last decided it.

    ``asked_for`` is the event for which the API was asked, ``asked_by`` what had it asked for none.
    """

    row: EntitlementRow
    catalogue_version: int
    decided_by: str | None
    decided_at: datetime | None
    asked_for: str | None = None
    asked_by: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Revocation:
    """The last revocation of an entitlement, and its actor."""

    at: datetime
    event_id: str | None
    actor: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PartyNote:
    """The items that a party's projection could not resolve, archived ones included."""

    party: str
    waiting: bool
    candidates: Mapping[str, Sequence[str]]
    """The users between whom each source and payment waits."""
    without_grant: Mapping[str, str]
    """What was paid for and grants nothing, with the reason."""
    unknown_prices: Sequence[str]
    incomplete_summaries: Sequence[str]
    incomplete_items: Sequence[str]
    incomplete_lines: Sequence[str]
    missing_subscriptions: Sequence[str]
    awaiting_invoice: Sequence[str]
    without_line_items: Sequence[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class UserState:
    """All of it; ``paid_for`` maps an invoice or checkout to its subscription.

    Without a user, ``user_id`` is what was looked up, and the rest is what its objects have.
    """

    user_id: str
    has_user: bool
    at: datetime
    catalogue_version: int
    catalogue: Catalogue
    grants: tuple[Grant, ...]
    effective: Mapping[str, EffectiveValue]
    subscriptions: tuple[SubscriptionRow, ...]
    purchases: tuple[PurchaseRow, ...]
    payments: tuple[PaymentRow, ...]
    paid_for: Mapping[ObjectKey, str]
    revoked: Mapping[str, Revocation]
    notes: tuple[PartyNote, ...]
    newest: Mapping[ObjectKey, str]
    """The newest event that mentions each object."""
    without_effect: tuple[IneffectiveEvent, ...]
    links: tuple[ListedLink, ...] = ()
    """The links to the user that people made and that stand."""
    pending_updates: tuple[UpdateProgress, ...] = ()
    """Changes that have not reached all archives of the parties yet."""


def load_user_state(connection: Connection, lookup: Lookup, realms: Sequence[Realm]) -> UserState:
    """Return the state of the only user who was looked up, which is empty for an unknown one.

    Without a user it is what the parties of the object wait for.
    """
    record = catalogues.current_catalogue(connection)
    user_id, parties = lookup.user, parties_meant(connection, lookup)

    def own(table: type[StoredSubscription | StoredPurchase]) -> ColumnElement[bool]:
        return table.user_id == user_id if lookup.users else one_of(table.party, parties)

    return UserState(
        user_id=user_id,
        has_user=bool(lookup.users),
        at=database_now(connection),
        catalogue_version=record.version,
        catalogue=record.catalogue,
        grants=_grants(connection, user_id),
        effective=_effective(connection, user_id),
        subscriptions=load_rows(connection, SubscriptionRow, own(StoredSubscription)),
        purchases=load_rows(connection, PurchaseRow, own(StoredPurchase)),
        payments=load_rows(connection, PaymentRow, one_of(StoredPayment.party, parties)),
        paid_for=_paid_for(connection, parties),
        revoked=_revoked(connection, user_id),
        notes=_notes(connection, parties),
        newest=_newest(connection, parties),
        without_effect=events_without_effect(connection, lookup, realms),
        links=tuple(links_to(connection, user_id)) if lookup.users else (),
        pending_updates=tuple(updates_in_progress(connection, parties)),
    )


def _notes(connection: Connection, parties: frozenset[str]) -> tuple[PartyNote, ...]:
    """Return what the parties lack, that of archived payments as well."""
    found = notes_of_parties(connection, parties)
    lacking = fetch(connection, PartyNote, Party, one_of(Party.party, parties))
    return tuple(_with(each, found[each.party]) for each in lacking)


def _with(note: PartyNote, found: Mapping[NoteKind, Mapping[str, Any]]) -> PartyNote:
    return replace(
        note,
        waiting=bool(found[NoteKind.CANDIDATES]),
        candidates=found[NoteKind.CANDIDATES],
        without_grant=found[NoteKind.WITHOUT_GRANT],
        awaiting_invoice=tuple(found[NoteKind.AWAITING_INVOICE]),
        without_line_items=tuple(found[NoteKind.WITHOUT_LINE_ITEMS]),
    )


def _grants(connection: Connection, user_id: str) -> tuple[Grant, ...]:
    query = (
        select(
            UserEntitlement.__table__,
            StripeEvent.type,
            StoredStatement.kind,
            func.coalesce(
                StripeEvent.created_at, StoredObservation.asked_at, StoredStatement.made_at
            ).label("decided_at"),
            StoredObservation.id.label("observed"),
            StoredObservation.event_id.label("asked_for"),
            StoredObservation.origin,
            StoredObservation.actor,
            StoredObservation.reason,
        )
        .outerjoin(StripeEvent, StripeEvent.id == UserEntitlement.event_id)
        .outerjoin(StoredObservation, StoredObservation.id == UserEntitlement.event_id)
        .outerjoin(StoredStatement, StoredStatement.id == UserEntitlement.event_id)
        .where(UserEntitlement.user_id == user_id)
        .order_by(UserEntitlement.starts_at, UserEntitlement.source, UserEntitlement.plan_code)
    )
    return tuple(
        Grant(
            row=read_row(EntitlementRow, dict(found)),
            catalogue_version=found["catalogue_version"],
            decided_by=_decided_by(found),
            decided_at=found["decided_at"],
            asked_for=found["asked_for"],
            asked_by=describe_asking(found["origin"], found["actor"], found["reason"]),
        )
        for found in connection.execute(query).mappings()
    )


def _decided_by(found: Any) -> str | None:
    if found["observed"]:
        return API_OBSERVATION
    return f"operator.{found['kind']}" if found["kind"] else found["type"]


def _effective(connection: Connection, user_id: str) -> dict[str, EffectiveValue]:
    view = effective_entitlements.c
    query = select(view.feature, view.value, view.expires_at).where(view.user_id == user_id)
    return {
        feature: EffectiveValue(value=value, expires_at=expires_at)
        for feature, value, expires_at in connection.execute(query)
    }


def _paid_for(connection: Connection, parties: frozenset[str]) -> dict[ObjectKey, str]:
    """Map each invoice, and each checkout with its invoice, to the subscription it names."""
    fields = StoredFact.fact["fields"]
    subscription, bill = fields["subscription"].as_string(), fields["invoice"].as_string()
    query = select(StoredFact.object_key, bill, subscription).where(
        one_of(StoredFact.party, parties),
        StoredFact.kind.in_((Kind.INVOICE.value, Kind.CHECKOUT_SESSION.value)),
        subscription.is_not(None),
    )
    named: dict[ObjectKey, str] = {}
    for object_key, invoice, paid_for in connection.execute(query):
        named[object_key] = paid_for
        if invoice:
            named[key_of(realm_in(object_key), invoice)] = paid_for
    return named


def _newest(connection: Connection, parties: frozenset[str]) -> dict[ObjectKey, str]:
    mentions = StoredFact.fact["mentions"]
    query = select(StoredFact.event_id, mentions).where(one_of(StoredFact.party, parties))
    in_time = query.order_by(StoredFact.created_at, StoredFact.event_id)
    return {key: event for event, named in connection.execute(in_time) for key in named}


def _revoked(connection: Connection, user_id: str) -> dict[str, Revocation]:
    """Return the last revocation by the audit's name of an entitlement, ``source/plan``."""
    query = (
        select(AuditLog.target_id, AuditLog.occurred_at, AuditLog.event_id, AuditLog.actor)
        .where(AuditLog.user_id == user_id, AuditLog.action == "entitlement.revoked")
        .order_by(AuditLog.id)
    )
    return {
        target: Revocation(at=at, event_id=event_id, actor=actor)
        for target, at, event_id, actor in connection.execute(query)
    }
