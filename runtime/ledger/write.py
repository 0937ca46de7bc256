"""The last step: decisions become rows. One statement for each table, however many events.

Call it last in a transaction. It locks the versions of users once it wrote all that could wait for
another transaction, and only adds to the audit afterwards.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any, Final, NamedTuple, assert_never

from sqlalchemy import Connection, text

from billing.archiving.archive import Archived
from billing.fact_codec import fact_to_json
from billing.facts import READER_NUMBER, Fact
from billing.ids import EventId, ObjectKey, PartyId, object_key, realm_in
from billing.readers.search_terms import Term
from billing.rows import Key, Projection
from models.base import Base
from models.tables import (
    AuditLog,
    Party,
    PaymentEvent,
    SearchTerm,
    StoredCustomer,
    StoredFact,
    StoredPayment,
    StoredPurchase,
    StoredSubscription,
    UserEntitlement,
)
from runtime.ledger.archives import archive_parties, archives_columns, put_away, take_out
from runtime.ledger.batch_state import BatchState, PartyState
from runtime.ledger.bulk import delete_rows, insert_rows
from runtime.ledger.decisions import (
    Decision,
    EntitlementChanged,
    EntitlementGranted,
    EntitlementRevoked,
    MoneyMoved,
    Noted,
    RowDeleted,
    RowUpserted,
)
from runtime.ledger.rows import Row, TableName, to_plain
from runtime.ledger.user_versions import PendingVersions, raise_versions

MODELS: Mapping[TableName, type[Base]] = {
    TableName.CUSTOMERS: StoredCustomer,
    TableName.SUBSCRIPTIONS: StoredSubscription,
    TableName.PURCHASES: StoredPurchase,
    TableName.PAYMENTS: StoredPayment,
    TableName.ENTITLEMENTS: UserEntitlement,
}

CHANGES: Mapping[type[Decision], str] = {
    EntitlementGranted: "granted",
    EntitlementChanged: "changed",
    EntitlementRevoked: "revoked",
}
"""The names of entitlement changes in metrics and audit."""

ENTITLEMENT: Final = "entitlement"
"""The audit's target type for a source under a plan."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeCause:
    """The cause of a change as the audit names it."""

    actor: str
    origin: str
    occurred_at: datetime
    event_id: EventId | None = None
    event_type: str | None = None
    reason: str | None = None


class LeftArchives(NamedTuple):
    """The cause by which archives have to be changed.

    ``is_audited`` if by it something changed that the audit names: access, money, an owner.
    """

    cause: ChangeCause
    is_audited: bool


@dataclass(slots=True, kw_only=True)
class PendingWrites:
    """Everything one transaction is going to write, gathered step by step.

    History keeps every step. Of a row only the last state is written; None deletes it.
    """

    facts: list[tuple[PartyId, Fact]] = field(default_factory=list)
    restated: list[EventId] = field(default_factory=list)
    rows: dict[tuple[TableName, Key], tuple[PartyId, Row | None]] = field(default_factory=dict)
    money: list[dict[str, Any]] = field(default_factory=list)
    audit: list[dict[str, Any]] = field(default_factory=list)
    terms: dict[tuple[Term, ObjectKey], PartyId] = field(default_factory=dict)
    """The party by term and object."""
    versions: PendingVersions = field(default_factory=PendingVersions)
    archives_left: dict[PartyId, "LeftArchives"] = field(default_factory=dict)
    """Parties whose archives have to be changed as well, in steps."""

    def add_terms(self, party: PartyId, facts: Sequence[Fact], terms: Iterable[Term]) -> None:
        """Add the search terms of an event's object, for its customer where it has one."""
        for term in terms:
            stated = facts[0]
            customer = stated.customer_id
            key = object_key(realm_in(stated.object_key), customer) if customer else None
            self.terms[term, key or stated.object_key] = party

    def add(self, cause: ChangeCause, party: PartyId, decisions: Iterable[Decision]) -> None:
        """Add what the decisions of one step ask for."""
        decided = tuple(decisions)
        self.versions.add_step(decided)
        for decision in decided:
            match decision:
                case RowUpserted(table=table, row=row):
                    self.rows[table, row.key] = (party, row)
                case RowDeleted(table=table, key=key):
                    self.rows[table, key] = (party, None)
                case MoneyMoved():
                    self.money.append(_payment_event(cause, decision))
                    self.audit.append(_audit_of_money(cause, decision))
                case EntitlementGranted() | EntitlementChanged() | EntitlementRevoked():
                    self.audit.append(_audit_of_entitlement(cause, decision, self.versions))
                case Noted():
                    self.audit.append(_audit_of_note(cause, decision))
                case _:
                    assert_never(decision)

    def leave_archives(
        self, party: PartyId, cause: ChangeCause, decisions: Iterable[Decision]
    ) -> None:
        """Have the archives of a party changed in steps by what was decided for what is loaded."""
        is_audited = any(not isinstance(each, RowUpserted | RowDeleted) for each in decisions)
        if is_audited or party not in self.archives_left:
            self.archives_left[party] = LeftArchives(cause, is_audited)

    def renew(self, party: PartyId, party_state: PartyState, version: int) -> None:
        """Write entitlements again that were loaded under another catalogue version."""
        for key, row in party_state.rows[TableName.ENTITLEMENTS].items():
            if party_state.loaded_versions.get(key, version) != version:
                self.rows.setdefault((TableName.ENTITLEMENTS, key), (party, row))


def changes_in(decisions: Iterable[Decision]) -> dict[str, int]:
    """Count the entitlements that were granted, changed and revoked."""
    kinds = (type(decision) for decision in decisions)
    return dict(Counter(CHANGES[kind] for kind in kinds if kind in CHANGES))


def write(
    connection: Connection,
    pending: PendingWrites,
    batch: BatchState,
    ends: Mapping[PartyId, PartyId],
) -> None:
    """Write everything; ``ends`` maps each merged party to the one it became part of."""
    _absorb(connection, ends)
    archived = archive_parties(batch)
    take_out(connection, batch)
    for party, party_state in batch.parties.items():
        pending.renew(party, party_state, batch.plans.version)
    _write_facts(connection, pending, ends)
    _write_terms(connection, pending, ends)
    for table in TableName:
        _write_rows(connection, table, pending, batch, ends)
    insert_rows(connection, PaymentEvent, pending.money)
    put_away(connection, archived)
    _begin_updates(connection, pending.archives_left)
    _write_parties(connection, batch, archived)
    raised = raise_versions(connection, pending.versions.steps)
    audit = [_numbered(entry, batch, pending.versions, raised) for entry in pending.audit]
    insert_rows(connection, AuditLog, audit)


_BELONGING = ("memberships", "facts", "search_terms", "archive_keys", "archive_notes", *TableName)
"""Tables whose rows name the party they belong to."""


def _absorb(connection: Connection, ends: Mapping[PartyId, PartyId]) -> None:
    for party, into in sorted(ends.items()):
        names = {"party": party, "into": into}
        for table in _BELONGING:
            move = f"UPDATE {table} SET party = :into WHERE party = :party"  # noqa: S608
            connection.execute(text(move), names)
        # What becomes part of another party was loaded whole, so its archives are up to date.
        for table in ("parties", "archive_updates"):
            connection.execute(text(f"DELETE FROM {table} WHERE party = :party"), names)  # noqa: S608


def _begin_updates(connection: Connection, left: Mapping[PartyId, LeftArchives]) -> None:
    """Have archives changed in steps, from the first one on.

    An update that is under way keeps its cause, unless by the new one something changed that the
    audit names. An event may tell of something older, by which nothing moves.
    """
    rows = {party: {"party": party, **asdict(each.cause)} for party, each in sorted(left.items())}
    if rows:
        connection.execute(_BEGIN_UPDATE, list(rows.values()))
    if taken_over := [rows[party] for party in rows if left[party].is_audited]:
        connection.execute(_TAKE_OVER, taken_over)


_BEGIN_UPDATE = text(
    "INSERT INTO archive_updates (party, actor, origin, occurred_at, event_id, event_type, reason)"
    " VALUES (:party, :actor, :origin, :occurred_at, :event_id, :event_type, :reason)"
    " ON CONFLICT (party) DO UPDATE SET position = '', rounds = 0, again = false"
)
_TAKE_OVER = text(
    "UPDATE archive_updates SET actor = :actor, origin = :origin, occurred_at = :occurred_at,"
    " event_id = :event_id, event_type = :event_type, reason = :reason WHERE party = :party"
)


def _write_facts(
    connection: Connection, pending: PendingWrites, ends: Mapping[PartyId, PartyId]
) -> None:
    if pending.restated:
        forget = text("DELETE FROM facts WHERE event_id = ANY(:ids)")
        connection.execute(forget, {"ids": pending.restated})
    # Several events of a batch may bring the same API observation.
    rows = {
        (fact.event_id, fact.object_key): _fact_row(ends.get(party, party), fact)
        for party, fact in pending.facts
    }
    insert_rows(connection, StoredFact, [*rows.values()])


def _write_terms(
    connection: Connection, pending: PendingWrites, ends: Mapping[PartyId, PartyId]
) -> None:
    rows = [
        {"term": term.text, "kind": term.kind, "object_key": key, "party": ends.get(party, party)}
        for (term, key), party in pending.terms.items()
    ]
    insert_rows(connection, SearchTerm, rows, conflict="ignore")


def _write_rows(
    connection: Connection,
    table: TableName,
    pending: PendingWrites,
    batch: BatchState,
    ends: Mapping[PartyId, PartyId],
) -> None:
    mine = {key: entry for (name, key), entry in pending.rows.items() if name is table}
    complete = _completer(table, batch)
    rows = [
        {**to_plain(row), **complete(row), "party": ends.get(party, party)}
        for party, row in mine.values()
        if row is not None
    ]
    gone = [key for key, (_, row) in mine.items() if row is None]
    insert_rows(connection, MODELS[table], rows, conflict="replace")
    delete_rows(connection, MODELS[table], gone)


def _completer(table: TableName, batch: BatchState) -> Callable[[Row], dict[str, Any]]:
    """Return a function that gives the columns that the ledger adds to rows of a table."""
    if table is not TableName.ENTITLEMENTS:
        return lambda _: {}
    written = {"catalogue_version": batch.plans.version, "updated_at": batch.now}
    return lambda _: written


def _write_parties(
    connection: Connection, batch: BatchState, archived: Mapping[PartyId, Archived]
) -> None:
    rows = [
        {
            "party": party,
            "catalogue_version": batch.plans.version,
            "reader": READER_NUMBER,
            "due_at": _if_ahead(loaded.due_at, batch.now),
            **_columns_of(loaded),
            **archives_columns(party_state, archived.get(party)),
        }
        for party, party_state in batch.parties.items()
        if (loaded := _not_archived(party_state, archived.get(party))) is not None
    ]
    insert_rows(connection, Party, rows, conflict="replace")


def _not_archived(party_state: PartyState, archived: Archived | None) -> Projection | None:
    return archived.rest if archived else party_state.projection


def _columns_of(projection: Projection) -> dict[str, Any]:
    """Return the columns of a party's row that say what it lacks."""
    return {
        "waiting": projection.waiting,
        "candidates": projection.candidates,
        "without_grant": projection.without_grant,
        "unknown_prices": projection.unknown_prices,
        "incomplete_summaries": projection.incomplete_summaries,
        "incomplete_items": projection.incomplete_items,
        "incomplete_lines": projection.incomplete_lines,
        "missing_subscriptions": projection.missing_subscriptions,
        "undecided": projection.undecided,
        "awaiting_invoice": projection.awaiting_invoice,
        "without_line_items": projection.without_line_items,
    }


def _if_ahead(due_at: datetime | None, now: datetime) -> datetime | None:
    # A time in the past is projected already; to be due at it again would never end.
    return due_at if due_at is not None and due_at > now else None


def _fact_row(party: PartyId, fact: Fact) -> dict[str, Any]:
    return {
        "event_id": fact.event_id,
        "object_key": fact.object_key,
        "party": party,
        "kind": fact.kind,
        "event_type": fact.event_type,
        "created_at": fact.created_at,
        "fact": fact_to_json(fact),
    }


def _payment_event(cause: ChangeCause, moved: MoneyMoved) -> dict[str, Any]:
    payment = moved.payment
    return {
        "event_id": cause.event_id,
        "event_type": cause.event_type,
        "kind": moved.movement,
        "realm": payment.realm,
        "payment_ref": payment.payment_ref,
        "user_id": payment.user_id,
        "plan_code": payment.plan_code,
        "amount_minor": moved.amount_minor,
        "currency": payment.currency,
        "occurred_at": moved.at,
    }


def _numbered(
    entry: dict[str, Any], batch: BatchState, versions: PendingVersions, raised: Mapping[str, int]
) -> dict[str, Any]:
    """Add to an entry about access the user's version, and that of the plans in force."""
    if (step := entry["version"]) is not None:
        entry["version"] = versions.version_after(entry["user_id"], raised, step)
    if entry["target_type"] == ENTITLEMENT and entry["after"]:
        entry["after"]["catalogue_version"] = batch.plans.version
    return entry


def _audit_of_money(cause: ChangeCause, moved: MoneyMoved) -> dict[str, Any]:
    return audit_row(
        cause,
        action=f"payment.{moved.movement}",
        target=("payment", moved.payment.payment_ref),
        user_id=moved.payment.user_id,
        before=moved.before,
        after=moved.after,
    )


def _audit_of_entitlement(
    cause: ChangeCause,
    change: EntitlementGranted | EntitlementChanged | EntitlementRevoked,
    versions: PendingVersions,
) -> dict[str, Any]:
    row = change.after or change.before
    assert row is not None, "a change has at least one side"  # noqa: S101 - for the reader
    entry = audit_row(
        cause,
        action=f"entitlement.{CHANGES[type(change)]}",
        target=(ENTITLEMENT, f"{row.source}/{row.plan_code}"),
        user_id=row.user_id,
        before=change.before,
        after=change.after,
        reason=cause.reason or (change.after.because if change.after else None),
    )
    entry["version"] = versions.steps[row.user_id]  # the step's place until the version is known
    if entry["before"]:
        entry["before"]["catalogue_version"] = change.before_version
    return entry


def _audit_of_note(cause: ChangeCause, note: Noted) -> dict[str, Any]:
    return audit_row(
        cause,
        action=note.action,
        target=(note.target_type, note.target_id),
        user_id=note.user_id,
        before=note.before,
        after=note.after,
    )


def audit_row(
    cause: ChangeCause,
    *,
    action: str,
    target: tuple[str, str],
    user_id: str | None = None,
    before: Row | None = None,
    after: Row | None = None,
    reason: str | None = None,
) -> dict[str, Any]:
    """Return one entry of the audit for something that was done."""
    return {
        "actor": cause.actor,
        "action": action,
        "outcome": "done",
        "origin": cause.origin,
        "target_type": target[0],
        "target_id": target[1],
        "event_id": cause.event_id,
        "user_id": user_id,
        "before": before and to_plain(before),
        "after": after and to_plain(after),
        "reason": reason or cause.reason,
        "version": None,
    }
