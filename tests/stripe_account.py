"""A fake Stripe account: its API's responses at any time, and the thin events it sends.

It learns from snapshot events and remembers each object's states with their times. So a test can
ask for the past, the present, or a time between two events of one second.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from billing.fetching.observations import Observations
from billing.fetching.plan import SUMMARY, next_request, observations_in
from billing.fetching.record import FetchRecord, FetchTarget, read_response
from ops.samples.api_shapes import Shape
from ops.samples.worlds.offers import StripePrice
from ops.samples.worlds.records import FeatureList, Record
from ops.samples.worlds.rendering import (
    render,
    render_active_features,
    render_price,
    render_session_line,
)

Json = dict[str, Any]

COLLECTIONS = {
    "customers": "customer",
    "subscriptions": "subscription",
    "checkout/sessions": "checkout.session",
    "payment_intents": "payment_intent",
    "charges": "charge",
    "refunds": "refund",
    "disputes": "dispute",
    "invoices": "invoice",
    "invoice_payments": "invoice_payment",
    "credit_notes": "credit_note",
    "events": "event",
}
FOREVER = datetime.max.replace(tzinfo=UTC)


@dataclass
class FakeStripeAccount:
    """The state of an account; ``page_size`` limits each list, also where more was asked for."""

    page_size: int = 100
    states: dict[str, list[tuple[datetime, Json]]] = field(default_factory=dict)
    features: dict[str, list[tuple[datetime, list[str]]]] = field(default_factory=dict)
    line_items: dict[str, list[Json]] = field(default_factory=dict)
    listed: dict[str, list[Json]] = field(default_factory=dict)
    """All items of a subscription, or all lines of an invoice, of which the object shows ten."""
    prices: list[StripePrice] = field(default_factory=list)
    thin: dict[str, Json] = field(default_factory=dict)

    def learn(self, payload: Json) -> None:
        """Store the object of a snapshot event."""
        stated, at = payload["data"]["object"], moment(payload["created"])
        self.put(payload, at)
        if stated["object"] == SUMMARY:
            keys = [each["lookup_key"] for each in stated["entitlements"]["data"]]
            self.features.setdefault(stated["customer"], []).append((at, keys))
        else:
            self.put(stated, at)

    def put(self, stated: Json | Record, at: datetime | None = None) -> None:
        """Store an object's state from ``at`` on, or for all time."""
        raw = stated if isinstance(stated, dict) else render(stated, Shape.NEW)
        self.states.setdefault(raw["id"], []).append((at or moment(0), raw))

    def sell(self, session_id: str, *offers: StripePrice) -> None:
        """Store what a checkout sold: one of each price."""
        self.line_items[session_id] = [
            render_session_line(f"li_{number}", offer, Shape.NEW)
            for number, offer in enumerate(offers)
        ]

    def answer(self, request: str, at: datetime = FOREVER) -> tuple[int, Json]:
        """Return status and body of the response to a request at that time."""
        parts = urlsplit(request)
        query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
        version, _, path = parts.path.lstrip("/").partition("/")
        if version == "v2":
            found = self.thin.get(unquote(path.rpartition("/")[2]))
            return (200, found) if found else _missing(path)
        if path == "prices":
            asked = parse_qs(parts.query)["lookup_keys[]"]
            bearing = [each for each in self.prices if each.lookup_key in asked]
            return 200, self._page([render_price(each, Shape.NEW) for each in bearing], query)
        if path == "entitlements/active_entitlements":
            return 200, self._features(query, at)
        if path.endswith("/line_items"):
            session_id = path.split("/")[-2]
            return 200, self._page(self.line_items.get(session_id, []), query)
        if path == "subscription_items" or path.endswith("/lines"):
            owner = query.get("subscription") or path.split("/")[-2]
            return 200, self._page(self.listed.get(owner, []), query)
        return self._retrieve(path, query, at)

    def _retrieve(self, path: str, query: Mapping[str, str], at: datetime) -> tuple[int, Json]:
        collection, _, stripe_id = path.rpartition("/")
        states = [raw for since, raw in self.states.get(unquote(stripe_id), ()) if since <= at]
        if not states or states[-1]["object"] != COLLECTIONS[collection]:
            return _missing(path)
        raw = dict(states[-1])
        if query.get("expand[]") == "line_items":
            raw["line_items"] = self._page(self.line_items.get(raw["id"], []), {"limit": "10"})
        if raw["id"] in self.listed:
            name = "items" if raw["object"] == "subscription" else "lines"
            raw[name] = self._page(self.listed[raw["id"]], {"limit": "10"})
        if query.get("expand[]") == "payments":
            raw["payments"] = self._page(self._payments_of(raw["id"], at), {})
        return 200, raw

    def _payments_of(self, invoice: str, at: datetime) -> list[Json]:
        newest = {}
        for stripe_id, states in self.states.items():
            for since, raw in states:
                if since <= at and raw["object"] == "invoice_payment" and raw["invoice"] == invoice:
                    newest[stripe_id] = raw
        return list(newest.values())

    def _features(self, query: Mapping[str, str], at: datetime) -> Json:
        lists = [keys for since, keys in self.features.get(query["customer"], ()) if since <= at]
        held = FeatureList(customer=query["customer"], keys=tuple(lists[-1] if lists else ()))
        return self._page(render_active_features(held, Shape.NEW), query)

    def _page(self, entries: list[Json], query: Mapping[str, str]) -> Json:
        ids = [entry["id"] for entry in entries]
        begins = ids.index(query["starting_after"]) + 1 if "starting_after" in query else 0
        size = min(self.page_size, int(query.get("limit", "10")))
        page = entries[begins : begins + size]
        return {"object": "list", "data": page, "has_more": begins + size < len(entries)}

    def thin_event(self, payload: Json, **given: Any) -> Json:
        """Return the thin event that Stripe sends beside a snapshot event, or instead of it."""
        stated = payload["data"]["object"]
        event: Json = {
            "id": f"{payload['id']}thin",
            "object": "v2.core.event",
            "type": f"v1.{payload['type']}",
            "created": moment(payload["created"]).isoformat().replace("+00:00", ".250Z"),
            "livemode": payload["livemode"],
            "context": None,
        }
        if stated["object"] != SUMMARY:
            related = {"id": stated["id"], "type": stated["object"], "url": "/v1/elsewhere"}
            event["related_object"] = related
        event |= given
        self.thin[event["id"]] = {**event, "snapshot_event": payload["id"]}
        return event

    def fetch(
        self, *wanted: FetchTarget, at: datetime, sees: datetime | None = None
    ) -> Observations:
        """Return what the API shows of the targets; ``sees`` is the time whose state it shows."""
        return observations_in(self.ask(*wanted, at=at, sees=sees))

    def ask(self, *wanted: FetchTarget, at: datetime, sees: datetime | None = None) -> FetchRecord:
        """Return the requests and responses that the targets take, all sent at a time."""
        fetched = FetchRecord(targets=wanted)
        while (request := next_request(fetched)) is not None:
            status, body = self.answer(request, at if sees is None else sees)
            fetched = fetched.with_response(read_response(request, status, at, json.dumps(body)))
        return fetched


def account_of(payloads: Iterable[Json]) -> FakeStripeAccount:
    """Return an account that has learned from these events."""
    account = FakeStripeAccount()
    for payload in payloads:
        account.learn(payload)
    return account


def moment(seconds: float) -> datetime:
    """Return the time for a Unix timestamp."""
    return datetime.fromtimestamp(seconds, UTC)


def _missing(path: str) -> tuple[int, Json]:
    error = {"type": "invalid_request_error", "code": "resource_missing"}
    return 404, {"error": {**error, "message": f"No such object: {path}"}}
