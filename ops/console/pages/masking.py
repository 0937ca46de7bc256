"""Show a payload of Stripe without personal data: what may say who a person is, is masked. Pure.

Ids, amounts, times and statuses stay, so that an operator sees what happened. A text stays only if
it is an id or a word of Stripe, by its form and its name; so a field that Stripe adds tomorrow is
masked until its values look like such a word. Numbers stay as they were written, however long.
A client secret is masked even for those who may see the rest: it is a key, and no one's data.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Final

MASK: Final = "••••"
MOST_CHARACTERS: Final = 200_000
"""What a page shows of one payload; a command shows all of it."""

_INDENT: Final = "  "

_PERSONAL_WORDS: Final = (
    r"account_number|address|billing_details|city|comment|company|custom_fields|customer_details"
    r"|description|dob|email|evidence|exp_month|exp_year|fingerprint|first6|footer|iban|individual"
    r"|ip|last4|latitude|line1|line2|longitude|maiden|memo|message|name|owner|passport|phone"
    r"|postal_code|routing_number|shipping|signature|ssn|tax_ids?|user_agent|verified_outputs"
)
_PERSONAL_NAME: Final = re.compile(rf"(?:.*_)?(?:{_PERSONAL_WORDS})(?:_.*)?")
"""Names of fields whose values, and all that stands inside them, may be personal."""

_OF_STRIPE: Final = re.compile(
    r".*_(?:amount|check|collection|details|message)|amount_.*|shipping_(?:cost|options?|rate)"
)
"""Names that only look personal; what is personal inside has a name of its own."""

_PERSONAL_DETAILS: Final = frozenset({"billing_details", "customer_details", "shipping_details"})

_NAMED_BY_SHOP: Final = frozenset(
    {"coupon", "plan", "price", "product", "promotion_code", "tax_rate"}
)
"""Objects whose name and description are those of something sold."""

_SHOP_NAMES: Final = frozenset({"name", "description"})

_KEPT_METADATA: Final = frozenset({"user_id", "plan_code", "price_id"})
"""Metadata that Paidup reads itself: ids."""

# A shop may know its users by their addresses.
_KEPT_TEXTS: Final = frozenset(
    {
        "account_country",
        "client_reference_id",
        "country",
        "failure_message",
        "locale",
        "lookup_key",
        "nickname",
    }
    | {"network_message", "seller_message", "timezone"}
)
_NUMBERED: Final = frozenset({"credit_note", "invoice", "quote"})
"""Objects that have a number of the shop's own."""

_SECRET: Final = re.compile(r"(?:.*_)?secret|\w+_secret_\w+")

_WORD: Final = re.compile(r"[a-z][a-z0-9]*(?:[_.\-][a-z0-9]+)*")
_ID: Final = re.compile(r"[a-z]{2,12}(?:_[A-Za-z0-9]+)+")
_UUID: Final = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_VERSION: Final = re.compile(r"\d{4}-\d\d-\d\d(?:\.[a-z]+)?")
_DECIMAL: Final = re.compile(r"-?\d+(?:\.\d+)?")
_LONGEST_WORD: Final = 255


class _Number(str):
    """A number as it was written."""

    __slots__ = ()


class _Object(list[tuple[str, object]]):
    """The fields of an object in their order, those that stand twice included."""


class _Rule(Enum):
    """The treatment of what stands below a field."""

    PLAIN = "plain"
    PERSONAL = "personal"
    METADATA = "metadata"
    SECRET = "secret"  # noqa: S105 - a rule


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of the text of a payload, or the mask of one value."""

    text: str
    masked: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownPayload:
    """A payload as a page shows it; ``readable`` if it is JSON, ``whole`` if nothing was left out.

    ``masked`` is the number of masks in it.
    """

    pieces: tuple[Piece, ...]
    masked: int
    readable: bool = True
    whole: bool = True


def show_payload(body: bytes, *, personal: bool = False) -> ShownPayload:
    """Return the payload as indented JSON, with personal data masked unless ``personal``.

    What is no JSON is masked as a whole.
    """
    text = body.decode("utf-8", errors="replace")
    try:
        value = json.loads(
            text,
            parse_int=_Number,
            parse_float=_Number,
            parse_constant=_Number,
            object_pairs_hook=_Object,
        )
        pieces = [*_pieces(value, _Rule.PLAIN, personal=personal)]
    except (ValueError, RecursionError):
        return _show_text(text, personal=personal)
    return _joined(pieces)


def _show_text(text: str, *, personal: bool) -> ShownPayload:
    whole = len(text) <= MOST_CHARACTERS
    piece = Piece(text[:MOST_CHARACTERS]) if personal else Piece(MASK, masked=True)
    masked = int(piece.masked)
    return ShownPayload(pieces=(piece,), masked=masked, readable=False, whole=whole)


def _joined(pieces: list[Piece]) -> ShownPayload:
    """Put texts together that stand side by side, up to the most that a page shows."""
    shown: list[Piece] = []
    texts: list[str] = []
    length = masked = 0
    for piece in pieces:
        length += len(piece.text)
        if length > MOST_CHARACTERS:
            break
        if piece.masked:
            masked += 1
            shown += [Piece("".join(texts)), piece]
            texts = []
        else:
            texts.append(piece.text)
    shown.append(Piece("".join(texts)))
    whole = length <= MOST_CHARACTERS
    return ShownPayload(
        pieces=tuple(each for each in shown if each.text), masked=masked, whole=whole
    )


def _pieces(
    value: object,
    rule: _Rule,
    *,
    personal: bool,
    name: str = "",
    of: str = "",
    indent: str = "\n",
) -> Iterator[Piece]:
    """Yield the text of a value: ``name`` is that of its field, ``of`` the type of its object."""
    inner = indent + _INDENT
    match value:
        case _Object():
            own = next((str(text) for key, text in value if key == "object"), "")
            before = "{"
            for key, each in value:
                yield Piece(f"{before}{inner}{_quoted(key)}: ")
                below = _rule_of(key, own, rule)
                yield from _pieces(each, below, personal=personal, name=key, of=own, indent=inner)
                before = ","
            yield Piece(f"{indent}}}" if value else "{}")
        case list():
            before = "["
            for each in value:
                yield Piece(f"{before}{inner}")
                yield from _pieces(each, rule, personal=personal, name=name, of=of, indent=inner)
                before = ","
            yield Piece(f"{indent}]" if value else "[]")
        case _:
            yield from _leaf(value, rule, personal=personal, name=name, of=of)


def _leaf(value: object, rule: _Rule, *, personal: bool, name: str, of: str) -> Iterator[Piece]:
    if value is None or isinstance(value, bool):
        yield Piece(json.dumps(value))
        return
    text = str(value)
    number = isinstance(value, _Number)
    secret = rule is _Rule.SECRET or (not number and _SECRET.fullmatch(text) is not None)
    shown = not secret and (personal or _stays(text, rule, name=name, of=of, number=number))
    mark = "" if number else '"'
    if shown:
        yield Piece(text if number else _quoted(text))
        return
    yield Piece(mark)
    yield Piece(MASK, masked=True)
    yield Piece(mark)


def _rule_of(key: str, of: str, above: _Rule) -> _Rule:
    """Return the rule for what stands below a field of an object."""
    if above is not _Rule.PLAIN:
        return above
    if _SECRET.fullmatch(key):
        return _Rule.SECRET
    if key == "metadata":
        return _Rule.METADATA
    sold = of in _NAMED_BY_SHOP and key in _SHOP_NAMES
    if key in _PERSONAL_DETAILS:
        return _Rule.PERSONAL
    if sold or _OF_STRIPE.fullmatch(key) or not _PERSONAL_NAME.fullmatch(key):
        return _Rule.PLAIN
    return _Rule.PERSONAL


def _stays(text: str, rule: _Rule, *, name: str, of: str, number: bool) -> bool:
    if rule is _Rule.METADATA:
        return name in _KEPT_METADATA and "@" not in text
    if rule is _Rule.PERSONAL or (name in _KEPT_TEXTS and "@" in text):
        return False
    sold = of in _NAMED_BY_SHOP and name in _SHOP_NAMES
    if number or name in _KEPT_TEXTS or sold:
        return True
    if name == "number":
        return of in _NUMBERED
    if name.endswith("_decimal") or "amount" in name or name == "exchange_rate":
        return _DECIMAL.fullmatch(text) is not None
    forms = (_WORD, _ID, _UUID, _VERSION)
    return len(text) <= _LONGEST_WORD and any(form.fullmatch(text) for form in forms)


def _quoted(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:  # half of a pair, which no response can carry
        return json.dumps(text)
    return json.dumps(text, ensure_ascii=False)
