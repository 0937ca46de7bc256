"""Replaces what PostgreSQL cannot store in text: NUL and lone surrogates."""

import re
from collections.abc import Mapping
from typing import Any

_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
_REPLACEMENT = "\ufffd"


def storable(text: str) -> str:
    """Return the text with each character that PostgreSQL rejects replaced by U+FFFD."""
    if text.isascii() and "\0" not in text:  # the usual case, checked without a regular expression
        return text
    return _UNSTORABLE.sub(_REPLACEMENT, text)


def storable_json(value: Any) -> Any:
    """Return a copy of parsed JSON in which all keys and texts are storable.

    It recurses, so the depth of ``value`` must be bounded, as that of a parsed event is.
    """
    if isinstance(value, str):
        return storable(value)
    if isinstance(value, Mapping):
        return {storable(key): storable_json(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [storable_json(inner) for inner in value]
    return value
