"""A fake of Stripe's API on loopback: it knows the objects that events carry, and no others.

Peers that fetch what a webhook already contained get the answer from here in well under a
millisecond; Stripe's own answers take some hundred.
"""

import json
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Final

JsonObject = dict[str, Any]
StartResponse = Callable[[str, list[tuple[str, str]]], object]

EVENTS_VARIABLE: Final = "BENCH_STUB_EVENTS"
"""The variable that names a file of events with ``SEPARATOR`` between them."""

SEPARATOR: Final = b"\0"

_ACCOUNT: Final = {
    "id": "acct_bench",
    "object": "account",
    "settings": {"branding": {}, "dashboard": {"display_name": "Bench"}},
    "business_profile": {},
    "charges_enabled": True,
    "country": "DE",
    "default_currency": "usd",
    "details_submitted": True,
    "metadata": {},
    "payouts_enabled": True,
    "type": "standard",
}
_KINDS: Final = {
    "balance_transactions": "balance_transaction",
    "charges": "charge",
    "customers": "customer",
    "invoice_payments": "invoice_payment",
    "invoices": "invoice",
    "payment_intents": "payment_intent",
    "payment_methods": "payment_method",
    "plans": "plan",
    "prices": "price",
    "products": "product",
    "refunds": "refund",
    "sessions": "checkout.session",
    "subscriptions": "subscription",
}
"""The object type of a collection, as its path names it."""

_DETAILS: Final[dict[str, JsonObject]] = {
    "balance_transaction": {
        "amount": 2999,
        "available_on": 1_719_828_000,
        "currency": "usd",
        "exchange_rate": None,
        "fee": 117,
        "fee_details": [],
        "net": 2882,
        "reporting_category": "charge",
        "source": None,
        "status": "pending",
        "type": "charge",
    },
}
"""Fields that the tables of a peer require."""


class StubApi:
    """A WSGI application; give it to any server."""

    def __init__(self, events: Iterable[bytes]) -> None:
        self._objects = {str(found["id"]): found for body in events for found in _objects(body)}

    def __call__(self, environ: JsonObject, start_response: StartResponse) -> list[bytes]:
        """Answer with the object at the end of the path, or with an empty list of its parts."""
        found = self.find(environ["PATH_INFO"].strip("/").split("/")[1:])
        body = json.dumps(found).encode()
        headers = [("Content-Type", "application/json"), ("Content-Length", str(len(body)))]
        start_response("200 OK", headers)
        return [body]

    def find(self, path: list[str]) -> JsonObject:
        """Return Stripe's response for a path, split at its slashes."""
        match path:
            case ["account"]:
                return _ACCOUNT
            case [*_, collection, known] if collection in _KINDS:
                return self._objects.get(known) or _unknown(_KINDS[collection], known)
            case _:
                url = "/v1/" + "/".join(path)
                return {"object": "list", "data": [], "has_more": False, "url": url}


def _objects(body: bytes) -> Iterator[JsonObject]:
    """Yield every complete object in an event, the event itself included."""
    return _walk(json.loads(body))


def _walk(value: Any) -> Iterator[JsonObject]:
    if isinstance(value, list):
        for item in value:
            yield from _walk(item)
    elif isinstance(value, dict):
        if isinstance(value.get("id"), str) and "object" in value:
            yield value
        for item in value.values():
            yield from _walk(item)


def _unknown(kind: str, name: str) -> JsonObject:
    """Return a minimal object, for one that no event carried whole, with a price's product."""
    common = {"id": name, "object": kind, "created": 1_719_828_000, "livemode": False}
    return {**common, "metadata": {}, **_DETAILS.get(kind, {})}


def make_app() -> StubApi:
    """Return the application with the events of the file that the environment names."""
    return StubApi(Path(os.environ[EVENTS_VARIABLE]).read_bytes().split(SEPARATOR))
