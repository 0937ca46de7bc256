"""The smallest valid events; a test names only what it is about."""

import json
from typing import Any

from billing.envelope import Envelope, parse

CREATED = 1_795_302_514


def document(
    event_type: str, stated: dict[str, Any], *, previous: Any = None, **others: Any
) -> dict[str, Any]:
    """Return a snapshot event as the dictionary that Stripe would sign."""
    data = (
        {"object": stated}
        if previous is None
        else {
            "object": stated,
            "previous_attributes": previous,
        }
    )
    return {
        "id": "evt_1",
        "object": "event",
        "type": event_type,
        "api_version": "2026-10-28.endive",
        "created": CREATED,
        "livemode": False,
        "data": data,
        **others,
    }


def encoded(payload: Any) -> bytes:
    """Return the bytes of a payload."""
    return json.dumps(payload).encode()


def event(
    event_type: str, stated: dict[str, Any], *, previous: Any = None, **others: Any
) -> Envelope:
    """Return the envelope of a snapshot event."""
    return parse(encoded(document(event_type, stated, previous=previous, **others)))
