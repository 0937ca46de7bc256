"""New ids of statements, grants and links: random, so that no one can be guessed."""

import secrets

from billing.ids import EventId
from billing.statements import GRANT_PREFIX, LINK_PREFIX, STATEMENT_PREFIX


def new_statement_id() -> EventId:
    """Return the id of a statement; it stands where the id of an event does."""
    return EventId(f"{STATEMENT_PREFIX}{secrets.token_hex(12)}")


def new_grant_id() -> str:
    """Return the id of a grant, which is its source among the user's entitlements."""
    return f"{GRANT_PREFIX}{secrets.token_hex(12)}"


def new_link_id() -> str:
    """Return the id of a link."""
    return f"{LINK_PREFIX}{secrets.token_hex(12)}"
