"""One event of the samples, as an endpoint gets it."""

import json
from dataclasses import dataclass

from ops.samples.unread_fields import JsonObject

DAY = 86_400


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
