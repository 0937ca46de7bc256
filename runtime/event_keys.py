"""Event keys."""

from billing.errors import MalformedEvent
from runtime.event_body import parse


def event_id_of(key: str) -> str:
    """The event id in an inbox key: second bodies under one id have ``#`` and a fingerprint."""
    return key.partition("#")[0]


def key_apart(event_id: str, body: bytes) -> str:
    """The key of a second event under an id that is another's."""
    return f"{event_id}#{fingerprint_of(body) or 'malformed'}"


def fingerprint_of(body: bytes) -> str | None:
    """What tells two events under one id apart; None where these bytes are no event."""
    try:
        return parse(body).fingerprint
    except MalformedEvent:
        return None
