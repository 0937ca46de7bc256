"""Record a scenario at Stripe as the events that Stripe would send."""

import json
import string
from copy import deepcopy
from dataclasses import dataclass
from random import Random
from typing import Any

from ops.samples.api_shapes import Shape
from ops.samples.unread_fields import JsonObject, unread_fields

DAY = 86_400
MONTH = 30 * DAY

_ALPHABET = string.ascii_letters + string.digits


class ObjectBuilder:
    """Builds Stripe objects in one shape, with unique ids drawn from a seed."""

    def __init__(self, shape: Shape, seed: str) -> None:
        self.shape = shape
        self._random = Random(f"{shape}/{seed}")  # noqa: S311 - samples must repeat, not be secret

    @property
    def new(self) -> bool:
        """True where objects follow the paths that 2025-03-31.basil introduced."""
        return self.shape is Shape.NEW

    def id(self, prefix: str, length: int = 24) -> str:
        """Return the next id of this seed: the same scenario gets the same ids again."""
        return f"{prefix}_{''.join(self._random.choices(_ALPHABET, k=length))}"

    def build(self, kind: str, /, **fields: object) -> JsonObject:
        """Return an object with all its unread fields, in the order in which Stripe prints them."""
        whole = {**deepcopy(unread_fields(kind, self.shape)), **fields, "object": kind}
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
        """The body, parsed again for each caller, who may change it."""
        parsed: JsonObject = json.loads(self.body)
        return parsed


class Scenario:
    """Collects events in the order in which things happened."""

    def __init__(self, builder: ObjectBuilder, *, user_id: str) -> None:
        self.builder = builder
        self.user_id = user_id
        self.events: list[Event] = []

    @property
    def ancient(self) -> bool:
        """True before there were payment intents, checkouts and incomplete subscriptions."""
        return self.builder.shape is Shape.ANCIENT

    def emit(
        self, kind: str, stated: JsonObject, *, at: int, before: JsonObject | None = None
    ) -> JsonObject:
        """Record an event with a snapshot; ``before`` becomes its ``previous_attributes``."""
        data: JsonObject = {"object": stated}
        if before is not None:
            data["previous_attributes"] = _old_value(before, stated)
        self.events.append(_event(self.builder, kind, data, at=at))
        return stated

    def change(self, kind: str, known: JsonObject, *, at: int, **changes: object) -> JsonObject:
        """Record a change of an object, and return the object after it."""
        return self.emit(kind, {**known, **changes}, at=at, before=known)


def _event(builder: ObjectBuilder, kind: str, data: JsonObject, *, at: int) -> Event:
    """Wrap data as Stripe does and print it as Stripe does: indented, in its order of fields."""
    identifier = builder.id("evt")
    envelope = {
        "id": identifier,
        "object": "event",
        "api_version": builder.shape.api_version,
        "created": at,
        "data": data,
        "livemode": False,
        "pending_webhooks": 1,
        "request": (
            builder.id("iar", 14)
            if builder.shape is Shape.ANCIENT
            else {"id": builder.id("req", 14), "idempotency_key": None}
        ),
        "type": kind,
    }
    body = json.dumps(envelope, indent=2).encode()
    return Event(id=identifier, type=kind, created=at, body=body)


def _old_value(before: Any, after: Any) -> Any:
    """Return a changed value as it was; of an object only the fields that changed."""
    if not isinstance(before, dict) or not isinstance(after, dict):
        return before
    changed = [name for name in {**before, **after} if before.get(name) != after.get(name)]
    return {name: _old_value(before.get(name), after.get(name)) for name in sorted(changed)}
