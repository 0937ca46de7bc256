"""Conflicts: another event under an id that is taken. Ingest keeps them; this makes dead letters.

Supervisors do so each second, and operators' commands before they act on an event. The dead
letter is committed before the inbox forgets the body, so a crash in between loses nothing and a
second run changes nothing.
"""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Final

from sqlalchemy.engine import Engine

from runtime.event_keys import event_id_of
from runtime.failures.dead_letters import DeadLetterDraft, dead_letter
from runtime.failures.ports import ConflictInbox
from runtime.inbox.entries import PeekedEvent
from runtime.ledger.errors import IDENTITY_CONFLICT, IdentityConflict

AT_ONCE: Final = 100


def dead_letter_conflicts(inbox: ConflictInbox, engine: Engine) -> list[str]:
    """Make a dead letter of each conflict and return their keys."""
    keys = inbox.conflicts()
    for start in range(0, len(keys), AT_ONCE):
        batch = keys[start : start + AT_ONCE]
        dead_letter(engine, list(_drafts(inbox.peek(batch))))
        inbox.forget_conflicts(batch)
    return keys


def _drafts(peeked: Sequence[PeekedEvent]) -> Iterator[DeadLetterDraft]:
    for conflict in peeked:
        if conflict.state == "conflict":
            received_at = conflict.received_at or datetime.now(UTC)
            yield DeadLetterDraft(
                key=conflict.key,
                event_type=conflict.header.get("type"),
                body=conflict.body,
                error_type=IDENTITY_CONFLICT,
                error=str(IdentityConflict(event_id_of(conflict.key))),
                attempts=0,
                origin=str(conflict.header.get("origin", "stripe")),
                received_at=received_at,
                first_failed_at=received_at,
                failed_at=received_at,
            )
