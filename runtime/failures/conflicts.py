"""Second bodies under a known event id: from where ingest kept them apart to the dead letters.

Whoever finds some moves them, supervisors each second and operators before they act on one. The
letter is committed before the inbox forgets the body, so doing it twice, or half, loses nothing.
"""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Final, Protocol

from sqlalchemy.engine import Engine

from runtime.event_keys import event_id_of
from runtime.failures.dead_letters import Burial, bury
from runtime.inbox.entries import Glimpse
from runtime.ledger.errors import IDENTITY_CONFLICT, IdentityConflict

AT_ONCE: Final = 100


class Conflicts(Protocol):
    """The inbox, as far as second bodies are concerned."""

    def conflicts(self) -> list[str]:
        """Their keys."""
        ...

    def peek(self, keys: Sequence[str]) -> list[Glimpse]:
        """What they are."""
        ...

    def forget_conflicts(self, keys: Sequence[str]) -> int:
        """Keep them apart no longer."""
        ...


def bury_conflicts(inbox: Conflicts, engine: Engine) -> list[str]:
    """Make a dead letter of each; the answer is their keys."""
    keys = inbox.conflicts()
    for start in range(0, len(keys), AT_ONCE):
        batch = keys[start : start + AT_ONCE]
        bury(engine, list(_burials(inbox.peek(batch))))
        inbox.forget_conflicts(batch)
    return keys


def _burials(glimpses: Sequence[Glimpse]) -> Iterator[Burial]:
    for glimpse in glimpses:
        if glimpse.state == "apart":
            received_at = glimpse.received_at or datetime.now(UTC)
            yield Burial(
                key=glimpse.key,
                event_type=glimpse.header.get("type"),
                body=glimpse.body,
                error_type=IDENTITY_CONFLICT,
                error=str(IdentityConflict(event_id_of(glimpse.key))),
                attempts=0,
                origin=str(glimpse.header.get("origin", "stripe")),
                received_at=received_at,
                first_failed_at=received_at,
                failed_at=received_at,
            )
