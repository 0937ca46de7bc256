"""Reads the words by which people look for an event: addresses, names, metadata, ids and users.

Of an event that is applied, only addresses, names and metadata are read here, from the places where
Stripe keeps them: its facts hold the rest. Of an event that no reader may understand, everything is
looked through.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from billing.envelope import Envelope
from billing.fetching.observations import Observations
from billing.json_fields import Raw, object_in, text_in
from billing.text import storable

EMAIL: Final = "email"
NAME: Final = "name"
METADATA: Final = "metadata"
WORDS: Final = (METADATA, NAME)
"""Kinds of terms that several people may share by chance."""

_EMAILS: Final = ("email", "customer_email", "receipt_email")
_PERSONAL: Final = (
    "billing_details",
    "customer_details",
    "customer_shipping",
    "shipping",
    "shipping_details",
)
"""Objects inside others that bear the name and the address of a person or company."""

_BEARING: Final = (*_PERSONAL, METADATA)
_NAMES_OF_OTHERS: Final = ("customer_name",)
_ALL_NAMES: Final = (*_NAMES_OF_OTHERS, "name", "business_name", "individual_name")
"""Names in a customer and in the objects above; elsewhere, ``name`` is that of a product."""

_USERS: Final = frozenset({"user_id", "client_reference_id"})
_READ: Final = _USERS | {"plan_code", "price_id"}
"""Metadata that Paidup itself reads: a plan is no way to look for a person."""

_STRIPE_ID: Final = re.compile(
    r"(cus|gcus|sub|si|pi|in|cn|cs|ch|py|re|pyr|du|dp|seti|inpay|plink)_\w{1,240}", re.ASCII
)
_NO_WORD: Final = re.compile(r"(price|prod|plan|evt|acct)_\w+|https?:.*|[{\[].*|true|false|null")
"""Values of metadata that are for programs: of ids, Paidup knows more than a search finds."""

_LONGEST_WORD: Final = 100
_SHORTEST_NAME: Final = 2
_SHORTEST_VALUE: Final = 3
_MAX_METADATA: Final = 10
"""Values of metadata for each object, by the order of their keys; Stripe allows 50."""

_MAX_TERMS: Final = 500
"""Terms of one kind in one event: an invoice may list thousands of lines before it names a user."""


class Term(NamedTuple):
    """A term as it is stored, and its kind."""

    kind: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """Everything that an event names: ids and users as they are written there, the rest as terms.

    ``names`` are those of people and companies, ``metadata`` the values of it.
    """

    ids: frozenset[str] = frozenset()
    users: frozenset[str] = frozenset()
    emails: frozenset[str] = frozenset()
    names: frozenset[str] = frozenset()
    metadata: frozenset[str] = frozenset()


def is_stripe_id(text: str) -> bool:
    """Return whether a text has the form of an id of Stripe that people look for."""
    return _STRIPE_ID.fullmatch(text) is not None


def email_term(text: str) -> str | None:
    """Return the term of an e-mail address, None for any other text."""
    term = text.strip().lower()
    return term if "@" in term[1:-1] else None


def word_term(text: str) -> str:
    """Return the term of a name or of a value of metadata: lower case, and no space too many."""
    return " ".join(text.lower().split())


def terms_in(envelope: Envelope, observations: Observations | None = None) -> frozenset[Term]:
    """Return the addresses, names and metadata of an event's object, or of one fetched for it."""
    found = _terms_of(object_in(envelope.payload, "data", "object"))
    return frozenset(found) | terms_shown(observations or ())


def terms_shown(observations: Observations) -> frozenset[Term]:
    """Return the addresses, names and metadata of objects that Stripe's API showed."""
    return frozenset(term for each in observations for term in _terms_of(each.raw or {}))


def _terms_of(raw: Raw) -> Iterator[Term]:
    yield from _own_emails(raw)
    yield from _own_words("", raw)
    for name in _BEARING:
        inner = raw.get(name)
        if isinstance(inner, dict):
            yield from _own_words(name, inner)
            if name != METADATA:
                yield from _own_emails(inner)


def _own_emails(raw: Raw) -> Iterator[Term]:
    for name in _EMAILS:
        if raw.get(name) and (text := text_in(raw, name)) and (term := email_term(text)):
            yield Term(EMAIL, term)


def _own_words(name: str, raw: Raw) -> Iterator[Term]:
    """Yield the names, or the metadata, that an object itself bears; ``name`` is where it is."""
    if name == METADATA:
        yield from _values(raw)
        return
    personal = name in _PERSONAL or raw.get("object") == "customer"
    for each in _ALL_NAMES if personal else _NAMES_OF_OTHERS:
        if raw.get(each) and (text := text_in(raw, each)):
            term = word_term(text)
            if _SHORTEST_NAME <= len(term) <= _LONGEST_WORD:
                yield Term(NAME, term)


def _values(metadata: Raw) -> Iterator[Term]:
    texts = (text_in(metadata, key) for key in sorted(metadata.keys() - _READ))
    terms = [word_term(text) for text in texts if text and not is_stripe_id(text)]
    usable = [
        term
        for term in terms
        if _SHORTEST_VALUE <= len(term) <= _LONGEST_WORD and not _NO_WORD.fullmatch(term)
    ]
    yield from (Term(METADATA, term) for term in usable[:_MAX_METADATA])


def named_in(envelope: Envelope) -> Named:
    """Return everything that an event names, whether or not a reader understands it."""
    named: dict[str, set[str]] = {"id": set(), "user": set(), EMAIL: set(), NAME: set()}
    named[METADATA] = set()
    for kind, term in _walk("", envelope.payload):
        if len(named[kind]) < _MAX_TERMS:
            named[kind].add(term)
    return Named(
        ids=frozenset(named["id"]),
        users=frozenset(named["user"]),
        emails=frozenset(named[EMAIL]),
        names=frozenset(named[NAME]),
        metadata=frozenset(named[METADATA]),
    )


def _walk(name: str, value: Any) -> Iterator[Term]:
    """Yield each term; the depth of a parsed event is bounded."""
    if isinstance(value, dict):
        yield from _own_words(name, value)
        for key, inner in value.items():
            yield from _walk(key, inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _walk(name, inner)
    elif isinstance(value, str) and value:
        if name in _USERS:
            yield Term("user", storable(value))
        elif name.endswith("email"):
            if term := email_term(storable(value)):
                yield Term(EMAIL, term)
        elif is_stripe_id(value):
            yield Term("id", value)
