"""Undo what programs between Stripe and the operator usually do to a body, so that it verifies.

Stripe signs the exact bytes that it sends. A body that was parsed and written again, or saved by an
editor, says the same and has other bytes. Each guess here is the body before such a change.
"""

import json
from collections.abc import Callable, Iterator
from itertools import product
from typing import Any, Final, NamedTuple

_DEPTH: Final = 3
"""The changes that are undone one after another; an editor makes two or three at once."""

_BOM: Final = b"\xef\xbb\xbf"
_UTF_16: Final = (b"\xff\xfe", b"\xfe\xff")


class EarlierBody(NamedTuple):
    """A body as it may have been signed, and what has become of it since."""

    body: bytes
    change: str


def earlier_bodies(body: bytes) -> Iterator[EarlierBody]:
    """Yield other bodies that may be the signed one, the likeliest first, each once."""
    seen = {body}
    found = [EarlierBody(body, "")]
    for _ in range(_DEPTH):
        found = [undone for each in found for undone in _undo_each(each) if undone.body not in seen]
        seen |= {undone.body for undone in found}
        yield from found
    for rewritten in _before_rewriting(body):
        if rewritten.body not in seen:
            seen.add(rewritten.body)
            yield rewritten


def _undo_each(later: EarlierBody) -> Iterator[EarlierBody]:
    for change, undo in _CHANGES:
        earlier = undo(later.body)
        if earlier is not None and earlier != later.body:
            yield EarlierBody(earlier, f"{later.change}, {change}" if later.change else change)


def _from_utf_16(body: bytes) -> bytes | None:
    try:
        return body.decode("utf-16").encode() if body.startswith(_UTF_16) else None
    except UnicodeDecodeError:
        return None


def _from_latin_1(body: bytes) -> bytes | None:
    try:
        earlier = body.decode().encode("cp1252")
        earlier.decode()
    except UnicodeError:
        return None
    return earlier


_CHANGES: Final[tuple[tuple[str, Callable[[bytes], bytes | None]], ...]] = (
    ("a line break was added at its end", lambda body: body.rstrip(b"\r\n")),
    ("the line break at its end was cut off", lambda body: body.rstrip(b"\r\n") + b"\n"),
    ("its line breaks became CRLF", lambda body: body.replace(b"\r\n", b"\n")),
    ("white space around it was added", bytes.strip),
    ("a byte order mark was put before it", lambda body: body.removeprefix(_BOM)),
    ("it was saved as UTF-16, as PowerShell's > does", _from_utf_16),
    ("it was read as Latin-1 and encoded again", _from_latin_1),
)

_LAYOUTS: Final[tuple[dict[str, Any], ...]] = (
    {"indent": 2},
    {"separators": (",", ":")},
    {},
    {"indent": 4},
    {"indent": "\t"},
)
_REWRITTEN: Final = "its JSON was parsed and written again"


def _before_rewriting(body: bytes) -> Iterator[EarlierBody]:
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return
    # How Stripe and the usual libraries write JSON: layout, other letters, / and < > & escaped.
    for layout, plain, slashes, html, end in product(
        _LAYOUTS, (False, True), (False, True), (False, True), ("", "\n")
    ):
        text = json.dumps(document, ensure_ascii=plain, **layout)
        if slashes:
            text = text.replace("/", "\\/")
        if html:
            for letter in "<>&":
                text = text.replace(letter, f"\\u{ord(letter):04x}")
        yield EarlierBody((text + end).encode("utf-8", "surrogatepass"), _REWRITTEN)
