"""What PostgreSQL cannot hold is replaced before it gets there: NUL and lone surrogates."""

import re
from collections.abc import Mapping
from typing import Any

_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
_REPLACEMENT = "\ufffd"


def storable(text: str) -> str:
    """The text with every character that no ``text`` column takes replaced by U+FFFD."""
    if text.isascii() and "\0" not in text:  # as nearly every text; told without looking for more
        return text
    return _UNSTORABLE.sub(_REPLACEMENT, text)


def storable_json(value: Any) -> Any:
    """A copy of parsed JSON whose keys and texts are all storable.

    It descends by recursion, so ``value`` must be bounded in depth, as a parsed event is.
    """
    if isinstance(value, str):
        return storable(value)
    if isinstance(value, Mapping):
        return {storable(key): storable_json(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [storable_json(inner) for inner in value]
    return value
