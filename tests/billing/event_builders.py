"""Events and objects as Stripe prints them; a test names only what it is about."""

import json
from copy import deepcopy
from typing import Any

from billing.envelope import Envelope, parse
from ops.samples.api_shapes import Shape
from ops.samples.worlds.records import Record
from ops.samples.worlds.rendering import render, render_event

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
    api_version = Shape.NEW.api_version
    rendered = render_event(
        event_type, data, event_id="evt_1", created=CREATED, api_version=api_version
    )
    return {**rendered, **others}


def printed(record: Record, shape: Shape = Shape.NEW, **edits: Any) -> dict[str, Any]:
    """Return an object as an event of this shape states it, with edits by a test."""
    return {**deepcopy(render(record, shape)), **edits}


def encoded(payload: Any) -> bytes:
    """Return the bytes of a payload."""
    return json.dumps(payload).encode()


def event(
    event_type: str, stated: dict[str, Any], *, previous: Any = None, **others: Any
) -> Envelope:
    """Return the envelope of a snapshot event."""
    return parse(encoded(document(event_type, stated, previous=previous, **others)))
