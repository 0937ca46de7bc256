"""What can keep the ledger from recording events.

LedgerError
 ├── IdentityConflict    one event id, two different events
 ├── LocksOutOfOrder     a lock was found to be needed after a higher one was taken
 ├── CatalogueMissing    no plans have ever been applied
 └── SchemaOutdated      the database belongs to another release
"""

from collections.abc import Iterable
from typing import Final

IDENTITY_CONFLICT: Final = "identity_conflict"
"""The error type of such dead letters, wherever the second body was noticed."""


class LedgerError(Exception):
    """The root of everything ``runtime.ledger`` raises on purpose."""


class IdentityConflict(LedgerError):
    """The id was settled with another type, account, mode or object; the first one stands."""

    def __init__(self, event_id: str) -> None:
        self.event_id = event_id
        super().__init__(
            f"event id {event_id} is already taken by an event with another type, account, mode"
            " or object, which stands; compare the two payloads, then discard this one"
        )


class LocksOutOfOrder(LedgerError):
    """Waiting for these locks now could deadlock, so the transaction was rolled back."""

    def __init__(self, keys: Iterable[str]) -> None:
        self.keys = frozenset(keys)
        super().__init__(
            f"found too late that {', '.join(sorted(self.keys))} must be locked too;"
            " nothing was written, try again"
        )


class CatalogueMissing(LedgerError):
    """Without plans nothing can be granted, and recording events would settle them as nothing."""

    def __init__(self) -> None:
        super().__init__("there is no catalogue of record yet; run `paidup migrate`")


class SchemaOutdated(LedgerError):
    """This process was built for another schema and keeps its hands off this one."""

    def __init__(self, found: str | None, expected: str) -> None:
        self.found = found
        self.expected = expected
        super().__init__(
            f"the schema is at {found or 'nothing'}, this release needs {expected};"
            " run `paidup migrate`, or start the release that fits"
        )
