"""People's statements in their table: as rows, and back."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, text

from billing.facts import Fact
from billing.ids import EventId, PartyId, Realm
from billing.statements import OperatorGrant, OperatorLink, OperatorStatement


def statement_row(statement: OperatorStatement) -> dict[str, Any]:
    """Return the row of a statement."""
    subject = statement.subject
    return {
        "id": statement.id,
        "kind": statement.kind,
        "subject": subject.id,
        "realm": subject.realm,
        "user_id": subject.user_id,
        "target": subject.target if isinstance(subject, OperatorLink) else None,
        "says": subject_plain(subject) | _since(statement),
        "actor": statement.actor,
        "reason": statement.reason,
        "made_at": statement.made_at,
    }


def subject_plain(subject: OperatorGrant | OperatorLink) -> dict[str, Any]:
    """Return what a grant or a link says, as JSON of plain values."""
    match subject:
        case OperatorGrant():
            return {
                "user_id": subject.user_id,
                "plan_code": subject.plan_code,
                "features": dict(subject.features),
                "per_seat": list(subject.per_seat),
                "starts_at": subject.starts_at.isoformat(),
                "until": subject.until and subject.until.isoformat(),
                "realm": subject.realm,
            }
        case OperatorLink():
            return {"user_id": subject.user_id, "target": subject.target, "realm": subject.realm}


def statement_of(row: Any) -> OperatorStatement:
    """Return the statement of a row of ``operator_statements``."""
    since = row.says.get("since")
    return OperatorStatement(
        id=EventId(row.id),
        subject=_subject(row),
        ends=row.kind.endswith("_ended"),
        actor=row.actor,
        reason=row.reason,
        made_at=row.made_at,
        link_since=datetime.fromisoformat(since) if since else None,
    )


def stated_facts(connection: Connection, parties: Iterable[PartyId]) -> dict[PartyId, list[Fact]]:
    """Return the facts that people stated of these parties, from the table of statements."""
    facts: dict[PartyId, list[Fact]] = {}
    for row in connection.execute(_OF_PARTIES, {"parties": sorted(parties)}):
        facts.setdefault(row.party, []).append(statement_of(row).fact())
    return facts


def _since(statement: OperatorStatement) -> dict[str, str]:
    since = statement.link_since
    return {"since": since.isoformat()} if since else {}


def _subject(row: Any) -> OperatorGrant | OperatorLink:
    says: Mapping[str, Any] = row.says
    realm = Realm(row.realm)
    if row.target is not None:
        return OperatorLink(id=row.subject, user_id=row.user_id, target=row.target, realm=realm)
    return OperatorGrant(
        id=row.subject,
        user_id=row.user_id,
        plan_code=says["plan_code"],
        features=tuple(sorted(says["features"].items())),
        per_seat=tuple(says["per_seat"]),
        starts_at=datetime.fromisoformat(says["starts_at"]),
        until=datetime.fromisoformat(says["until"]) if says["until"] else None,
        realm=realm,
    )


# Statements are read by key. Without OFFSET 0, a join would read all of them for each few parties.
_OF_PARTIES = text(
    "SELECT memberships.party, stated.* FROM memberships CROSS JOIN LATERAL"
    " (SELECT * FROM operator_statements WHERE subject = split_part(object_key, ':', 2)"
    "  AND realm = split_part(object_key, ':', 1) OFFSET 0) AS stated"
    " WHERE memberships.party = ANY(:parties) ORDER BY stated.made_at"
)
