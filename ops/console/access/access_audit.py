"""Audit who was let in and who looked, without letting anyone flood the audit.

Of failed logins, the first of a source in a minute is audited in full, and the others as one number
when the minute is over. Of looks at what is masked, one is audited for each person, subject and
hour. ``console_audit_windows`` remembers what was audited: its unique key holds for all consoles
together, and it is written in the transaction of the entry, so neither is there without the other.
"""

from collections.abc import Callable
from datetime import timedelta
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.dialects.postgresql import insert

from models.tables import AuditLog, ConsoleAuditWindow
from ops.console.access.people import Person, actor_of
from runtime.ledger.catalogues import OPERATOR

LOGIN: Final = "console.login"
LOGIN_FAILED: Final = "console.login_failed"
LOGOUT: Final = "console.logout"
SESSION_ENDED: Final = "console.session_ended"
LOOK: Final = "console.look"

UNKNOWN: Final = "?"
"""Stands for the name of a person who is not known; no token has it."""

_FAILED_LOGIN: Final = "failed_login"
_LOOK: Final = "look"
_LOOKS_KEPT: Final = timedelta(hours=2)
MAX_REMOVED: Final = 1000

RecordLook = Callable[[Connection, Person, str, str], object]
"""Audits that a person saw what is masked: ``record_look``, or what a test puts in its place."""


def audit_access(
    connection: Connection,
    *,
    actor: str,
    action: str,
    target: tuple[str, str],
    outcome: str = "done",
    reason: str | None = None,
    after: dict[str, Any] | None = None,
) -> None:
    """Add an entry; ``target`` is a type and an id."""
    target_type, target_id = target
    connection.execute(
        sa.insert(AuditLog).values(
            actor=actor,
            action=action,
            outcome=outcome,
            origin=OPERATOR,
            target_type=target_type,
            target_id=target_id,
            user_id=target_id if target_type == "user" else None,
            reason=reason,
            after=after,
        )
    )


def record_look(connection: Connection, person: Person, subject_kind: str, subject_id: str) -> bool:
    """Audit that a person looked at what is masked; return False if this hour has the entry."""
    window = {
        "kind": _LOOK,
        "subject": f"{person.name}\n{subject_kind}\n{subject_id}",
        "begins_at": sa.func.date_trunc("hour", sa.func.now()),
    }
    opened = insert(ConsoleAuditWindow).values(window).on_conflict_do_nothing()
    if connection.execute(opened.returning(ConsoleAuditWindow.kind)).first() is None:
        return False
    audit_access(connection, actor=person.actor, action=LOOK, target=(subject_kind, subject_id))
    return True


def record_failed_login(
    connection: Connection, *, source: str, reason: str, name: str | None = None
) -> None:
    """Count a failed login, and audit it if it is the first of its source in this minute."""
    tried = insert(ConsoleAuditWindow).values(
        kind=_FAILED_LOGIN, subject=source, begins_at=sa.func.date_trunc("minute", sa.func.now())
    )
    tries = connection.scalar(
        tried.on_conflict_do_update(
            index_elements=["kind", "subject", "begins_at"],
            set_={"tries": ConsoleAuditWindow.tries + 1},
        ).returning(ConsoleAuditWindow.tries)
    )
    if tries == 1:
        audit_access(
            connection,
            actor=actor_of(name or UNKNOWN),
            action=LOGIN_FAILED,
            target=("login_source", source),
            outcome="refused",
            reason=reason,
        )


def close_windows(connection: Connection) -> int:
    """Audit the numbers of minutes that are over, forget old looks, and return what was removed.

    Deleting a window and adding its entry is one transaction, so several consoles add one entry.
    """
    over = ConsoleAuditWindow.begins_at < sa.case(
        (
            ConsoleAuditWindow.kind == _FAILED_LOGIN,
            sa.func.date_trunc("minute", sa.func.now()),
        ),
        else_=sa.func.now() - _LOOKS_KEPT,
    )
    key = (ConsoleAuditWindow.kind, ConsoleAuditWindow.subject, ConsoleAuditWindow.begins_at)
    some = sa.select(*key).where(over).limit(MAX_REMOVED).with_for_update(skip_locked=True)
    closed = connection.execute(
        sa.delete(ConsoleAuditWindow)
        .where(sa.tuple_(*key).in_(some))
        .returning(*key, ConsoleAuditWindow.tries)
    ).all()
    for window in closed:
        if window.kind == _FAILED_LOGIN and window.tries > 1:
            audit_access(
                connection,
                actor=actor_of(UNKNOWN),
                action=LOGIN_FAILED,
                target=("login_source", window.subject),
                outcome="refused",
                reason="all failed logins of this source in this minute, the first one included",
                after={"tries": window.tries, "minute": window.begins_at.isoformat()},
            )
    return len(closed)
