"""A story is what happened at Stripe, told as the events it would send."""

import json
from dataclasses import dataclass
from typing import Any

from ops.samples.api_shapes import Shape
from ops.samples.pen import Pen
from ops.samples.unread_fields import JsonObject


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One webhook event: ``body`` is the exact text that gets signed and sent."""

    id: str
    type: str
    created: int
    body: bytes

    @property
    def payload(self) -> JsonObject:
        """The body parsed anew, so that a caller may bend it without bending the event."""
        parsed: JsonObject = json.loads(self.body)
        return parsed


class Story:
    """Collects events in the order in which things happened."""

    def __init__(self, pen: Pen, *, user_id: str) -> None:
        self.pen = pen
        self.user_id = user_id
        self.events: list[Event] = []

    @property
    def ancient(self) -> bool:
        """True before there were payment intents, checkouts and incomplete subscriptions."""
        return self.pen.shape is Shape.ANCIENT

    def tell(
        self, kind: str, stated: JsonObject, *, at: int, before: JsonObject | None = None
    ) -> JsonObject:
        """Send a snapshot as it is; ``before`` becomes its ``previous_attributes``."""
        data: JsonObject = {"object": stated}
        if before is not None:
            data["previous_attributes"] = undoing(before, stated)
        self.events.append(event(self.pen, kind, data, at=at))
        return stated

    def change(self, kind: str, known: JsonObject, *, at: int, **changes: object) -> JsonObject:
        """Send what an object has become, with what it was before, and return it."""
        return self.tell(kind, {**known, **changes}, at=at, before=known)


def event(pen: Pen, kind: str, data: JsonObject, *, at: int, **extra: object) -> Event:
    """Wrap data as Stripe does and print it as Stripe does: indented, in its order of fields."""
    identifier = pen.id("evt")
    envelope = {
        "id": identifier,
        "object": "event",
        "api_version": pen.shape.api_version,
        "created": at,
        "data": data,
        "livemode": False,
        "pending_webhooks": 1,
        "request": _request(pen),
        "type": kind,
        **extra,
    }
    body = json.dumps(envelope, indent=2).encode()
    return Event(id=identifier, type=kind, created=at, body=body)


def undoing(before: JsonObject, after: JsonObject) -> JsonObject:
    """What Stripe would print as ``previous_attributes``: the old value of all that changed."""
    changed = [name for name in {**before, **after} if before.get(name) != after.get(name)]
    return {name: _old_value(before.get(name), after.get(name)) for name in sorted(changed)}


def _old_value(before: Any, after: Any) -> Any:
    both = isinstance(before, dict) and isinstance(after, dict)
    return undoing(before, after) if both else before


def _request(pen: Pen) -> object:
    if pen.shape is Shape.ANCIENT:
        return pen.id("iar", 14)
    return {"id": pen.id("req", 14), "idempotency_key": None}
