"""Keys of events in the inbox and among the dead letters."""

from billing.errors import MalformedEvent
from runtime.event_body import parse


def event_id_of(key: str) -> str:
    """Return the event id in a key; the key of a conflict also has ``#`` and a fingerprint."""
    return key.partition("#")[0]


def conflict_key(event_id: str, body: bytes) -> str:
    """Return the key of an event whose id is taken by another one."""
    return f"{event_id}#{fingerprint_of(body) or 'malformed'}"


def fingerprint_of(body: bytes) -> str | None:
    """Return what distinguishes two events under one id; None if these bytes are no event."""
    try:
        return parse(body).fingerprint
    except MalformedEvent:
        return None
