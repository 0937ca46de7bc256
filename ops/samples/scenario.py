"""A story is what happened at Stripe, told as the events it would send."""

import json
import string
from copy import deepcopy
from dataclasses import dataclass
from random import Random
from typing import Any

from ops.samples.api_shapes import Shape
from ops.samples.unread_fields import JsonObject, furniture

_ALPHABET = string.ascii_letters + string.digits


class Pen:
    """Everything a builder needs besides the story: the shape, and ids nobody else has."""

    def __init__(self, shape: Shape, seed: str) -> None:
        self.shape = shape
        self._random = Random(f"{shape}/{seed}")  # noqa: S311 - samples must repeat, not be secret

    @property
    def new(self) -> bool:
        """True where objects follow the paths that 2025-03-31.basil introduced."""
        return self.shape is Shape.NEW

    def id(self, prefix: str, length: int = 24) -> str:
        """The next id of this seed: the same story told again has the same ids."""
        return f"{prefix}_{''.join(self._random.choices(_ALPHABET, k=length))}"

    def write(self, kind: str, /, **fields: object) -> JsonObject:
        """An object with all its furniture, its fields in the order in which Stripe prints them."""
        whole = {**deepcopy(furniture(kind, self.shape)), **fields, "object": kind}
        first = [name for name in ("id", "object") if name in whole]
        return {name: whole[name] for name in (*first, *sorted(whole.keys() - first))}


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


DAY = 86_400


MONTH = 30 * DAY


YEAR = 365 * DAY
