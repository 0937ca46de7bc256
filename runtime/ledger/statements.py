"""Record statements of people: grants and links, made or ended, in the caller's transaction.

It needs no inbox, so it works while Redis is away. The statement, its fact, the rows that follow
and the audit are written together.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, text

from billing.ids import EventId, PartyId, object_key
from billing.statements import OperatorGrant, OperatorLink, OperatorStatement
from models.tables import StoredStatement
from runtime.ledger.admit import open_transaction
from runtime.ledger.batch_state import BatchState
from runtime.ledger.bulk import insert_rows
from runtime.ledger.catalogues import OPERATOR, CatalogueSource, VersionedCatalogue
from runtime.ledger.decisions import Decision
from runtime.ledger.errors import StatementRefused
from runtime.ledger.load_past import (
    NOTHING_MORE,
    ArchiveRequest,
    BatchNeeds,
    EventNeeds,
    load_past,
)
from runtime.ledger.locks import Secured, secure
from runtime.ledger.stored_statements import statement_of, statement_row, subject_plain
from runtime.ledger.write import ChangeCause, PendingWrites, audit_row, write


@dataclass(frozen=True, slots=True, kw_only=True)
class NewStatement:
    """A statement before it is recorded; ``id`` is ``op_...``, ``actor`` as the audit names it."""

    id: EventId
    subject: OperatorGrant | OperatorLink
    actor: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EndStatement:
    """The end of the grant or link with the id ``subject``, from now on."""

    id: EventId
    subject: str
    actor: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StatedChange:
    """A recorded statement, and what followed from it.

    ``leaves_archives`` if it changes those of its party as well, in steps.
    """

    statement: OperatorStatement
    decisions: tuple[Decision, ...]
    leaves_archives: bool


def state(
    connection: Connection,
    new: Sequence[NewStatement | EndStatement],
    catalogues: CatalogueSource,
    *,
    at_once: bool,
) -> list[StatedChange]:
    """Record statements in this transaction, and return what follows from each, in their order.

    With ``at_once`` nothing that follows is left to be done in steps.

    Raises:
        StatementRefused: a link's target is not known, or a grant or link has ended already.
        LedgerError: for the reasons named in ``runtime.ledger.errors``.
    """
    opening = open_transaction(connection)
    statements = [_statement(connection, each, opening.now) for each in new]
    for each in statements:
        _refuse_unknown_target(connection, each)
    secured = secure(connection, [frozenset(each.fact().mentions) for each in statements])
    plans = catalogues.current(connection)
    request = ArchiveRequest(changed=secured.stored, at_once=at_once)
    while True:
        batch, changes = _decided(
            connection, secured, statements, plans, request=request, now=opening.now
        )
        if batch.lacking == NOTHING_MORE:
            break
        request |= batch.lacking
    pending = PendingWrites()
    for change, assignment in zip(changes, secured.assignments, strict=True):
        _stage(pending, assignment.party, change)
    # After the locks of the parties: who ends a grant at the same time waits here and is refused.
    _refuse_ended(connection, statements)
    insert_rows(connection, StoredStatement, [statement_row(each) for each in statements])
    write(connection, pending, batch, secured.ends)
    return changes


def _decided(
    connection: Connection,
    secured: Secured,
    statements: Sequence[OperatorStatement],
    plans: VersionedCatalogue,
    *,
    request: ArchiveRequest,
    now: datetime,
) -> tuple[BatchState, list[StatedChange]]:
    """Load the parties, and decide what follows from each statement."""
    facts = [each.fact() for each in statements]
    events = [
        EventNeeds(mentions=frozenset(fact.mentions), facts=(fact,), restates=frozenset())
        for fact in facts
    ]
    stored = load_past(connection, secured, BatchNeeds(events, plans, request, ()))
    batch = BatchState(stored, plans=plans, now=now, request=request)
    changes = []
    for statement, fact, assignment in zip(statements, facts, secured.assignments, strict=True):
        party_state = batch.party_for(assignment)
        left = party_state.archives.left
        decisions = batch.add_facts(party_state, [fact])
        leaves = party_state.archives.left > left
        changes.append(
            StatedChange(statement=statement, decisions=decisions, leaves_archives=leaves)
        )
    return batch, changes


def _stage(pending: PendingWrites, party: PartyId, change: StatedChange) -> None:
    cause = _cause(change.statement)
    pending.facts.append((party, change.statement.fact()))
    pending.audit.append(_audit(cause, change.statement))
    pending.add(cause, party, change.decisions)
    if change.leaves_archives:
        pending.leave_archives(party, cause, change.decisions)


def _statement(
    connection: Connection, new: NewStatement | EndStatement, now: datetime
) -> OperatorStatement:
    match new:
        case NewStatement():
            return OperatorStatement(
                id=new.id,
                subject=new.subject,
                ends=False,
                actor=new.actor,
                reason=new.reason,
                made_at=now,
            )
        case EndStatement():
            return _end(connection, new, now)


def _end(connection: Connection, new: EndStatement, now: datetime) -> OperatorStatement:
    row = connection.execute(_MADE, {"subject": new.subject}).one_or_none()
    if row is None:
        raise StatementRefused(new.subject, f"there is no {new.subject}")
    made = statement_of(row)
    return OperatorStatement(
        id=new.id,
        subject=made.subject,
        ends=True,
        actor=new.actor,
        reason=new.reason,
        made_at=now,
        link_since=made.made_at,
    )


def _refuse_unknown_target(connection: Connection, statement: OperatorStatement) -> None:
    subject = statement.subject
    if isinstance(subject, OperatorGrant):
        return
    key = object_key(subject.realm, subject.target)
    if connection.scalar(_KNOWN, {"key": key}) is None:
        raise StatementRefused(subject.target, f"no event has named {subject.target} yet")


def _refuse_ended(connection: Connection, statements: Sequence[OperatorStatement]) -> None:
    subjects = [each.subject.id for each in statements if each.ends]
    ended = connection.execute(_ENDED, {"subjects": subjects}).first() if subjects else None
    if ended:
        raise StatementRefused(
            ended.subject, f"{ended.actor} ended {ended.subject} already: {ended.reason}"
        )
    if twice := {each for each in subjects if subjects.count(each) > 1}:
        raise StatementRefused(min(twice), f"{min(twice)} is named twice")


def _cause(statement: OperatorStatement) -> ChangeCause:
    return ChangeCause(
        actor=statement.actor,
        origin=OPERATOR,
        occurred_at=statement.made_at,
        event_id=statement.id,
        event_type=f"operator.{statement.kind}",
        reason=statement.reason,
    )


def _audit(cause: ChangeCause, statement: OperatorStatement) -> dict[str, Any]:
    subject = statement.subject
    what = "grant" if isinstance(subject, OperatorGrant) else "link"
    entry = audit_row(
        cause,
        action=f"{what}.{'ended' if statement.ends else 'added'}",
        target=(what, subject.id),
        user_id=subject.user_id,
    )
    entry["before" if statement.ends else "after"] = subject_plain(subject)
    return entry


_MADE = text(
    "SELECT * FROM operator_statements WHERE subject = :subject AND kind IN ('grant', 'link')"
)
_ENDED = text(
    "SELECT subject, actor, reason FROM operator_statements"
    " WHERE subject = ANY(:subjects) AND kind IN ('grant_ended', 'link_ended') ORDER BY made_at"
)
_KNOWN = text("SELECT party FROM memberships WHERE object_key = :key")
