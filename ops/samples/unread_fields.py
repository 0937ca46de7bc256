"""The fields that Stripe sends and Paidup never reads, from ``unread_fields.json``.

Samples contain them all the same: a reader must cope with whole objects, and a benchmark on small
bodies would be too good. The file lists them by kind of object: those of every shape (``always``),
and those that came (``new``) or went (``old``) with 2025-03-31.basil.
"""

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from ops.samples.api_shapes import Shape

JsonObject = dict[str, Any]


def unread_fields(kind: str, shape: Shape) -> JsonObject:
    """Return the unread fields of an object of this kind, as Stripe sends them in that shape."""
    fields = _fields_by_kind()[kind]
    age = "new" if shape is Shape.NEW else "old"
    return {**fields["always"], **fields.get(age, {})}


@cache
def _fields_by_kind() -> Mapping[str, Mapping[str, JsonObject]]:
    text = Path(__file__).with_suffix(".json").read_text(encoding="utf-8")
    by_kind: Mapping[str, Mapping[str, JsonObject]] = json.loads(text)
    return by_kind
