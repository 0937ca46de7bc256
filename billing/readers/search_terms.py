"""Reads the words by which people look for an event: e-mail addresses, ids of Stripe and users.

Of an event that is applied, only the addresses are read here, from the places where Stripe keeps
them: its facts hold the rest. Of an event that no reader may understand, everything is looked
through.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from billing.envelope import Envelope
from billing.fetching.plan import fetched_objects
from billing.fetching.record import FetchRecord
from billing.json_fields import Raw, object_in, text_in
from billing.text import storable

_ADDRESSED: Final = (
    ((), "email"),
    ((), "customer_email"),
    ((), "receipt_email"),
    (("customer_details",), "email"),
    (("billing_details",), "email"),
)
_STRIPE_ID: Final = re.compile(
    r"(cus|gcus|sub|si|pi|in|cs|ch|py|re|pyr|du|dp|seti|inpay|plink)_\w{1,240}", re.ASCII
)
_MAX_TERMS: Final = 500
"""Terms of one kind in one event: an invoice may list thousands of lines before it names a user."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """Everything that an event names, as it is written there; addresses in lower case."""

    ids: frozenset[str] = frozenset()
    users: frozenset[str] = frozenset()
    emails: frozenset[str] = frozenset()


def is_stripe_id(text: str) -> bool:
    """Return whether a text has the form of an id of Stripe that people look for."""
    return _STRIPE_ID.fullmatch(text) is not None


def email_term(text: str) -> str | None:
    """Return the term of an e-mail address, None for any other text."""
    term = text.strip().lower()
    return term if "@" in term[1:-1] else None


def emails_in(envelope: Envelope, fetched: FetchRecord | None = None) -> frozenset[str]:
    """Return the addresses that an event's object bears, or that of one fetched for it."""
    found = {*_emails_of(object_in(envelope.payload, "data", "object"))}
    if fetched is not None:
        for each in fetched_objects(fetched):
            found.update(_emails_of(each.raw or {}))
    return frozenset(found)


def _emails_of(raw: Raw) -> Iterator[str]:
    for path, name in _ADDRESSED:
        text = text_in(object_in(raw, *path), name)
        if text and (term := email_term(text)):
            yield term


def named_in(envelope: Envelope) -> Named:
    """Return everything that an event names, whether or not a reader understands it."""
    named: dict[str, set[str]] = {"id": set(), "user": set(), "email": set()}
    for kind, term in _walk("", envelope.payload):
        if len(named[kind]) < _MAX_TERMS:
            named[kind].add(term)
    return Named(
        ids=frozenset(named["id"]), users=frozenset(named["user"]), emails=frozenset(named["email"])
    )


def _walk(name: str, value: Any) -> Iterator[tuple[str, str]]:
    """Yield kind and term of each text; the depth of a parsed event is bounded."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _walk(key, inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _walk(name, inner)
    elif isinstance(value, str) and value:
        if name in {"user_id", "client_reference_id"}:
            yield "user", storable(value)
        elif name.endswith("email"):
            if term := email_term(storable(value)):
                yield "email", term
        elif is_stripe_id(value):
            yield "id", value
