"""The objects of a fake Stripe account: each one's states with their times, in lists.

A state is Stripe's JSON, or a record of the worlds (``ops.samples.worlds``), which is printed in
the shape of the request. So a large account takes little memory.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count
from typing import Any, Final, Protocol

from ops.samples.api_shapes import Shape
from ops.samples.worlds import records
from ops.samples.worlds.offers import StripePrice
from ops.samples.worlds.records import FeatureList, Record
from ops.samples.worlds.rendering import render, render_session_line
from tests.stripe.ordering import CreationOrder, Ordered

Json = dict[str, Any]
State = Json | Record

FOREVER: Final = datetime.max.replace(tzinfo=UTC)
BEGINNING: Final = datetime.fromtimestamp(0, UTC)
SUMMARY: Final = "entitlements.active_entitlement_summary"
_FAMILIES: Final[Mapping[type, str]] = {
    records.Customer: "customer",
    records.Subscription: "subscription",
    records.Invoice: "invoice",
    records.Intent: "payment_intent",
    records.Charge: "charge",
    records.Refund: "refund",
    records.Dispute: "dispute",
    records.Session: "checkout.session",
    records.InvoicePayment: "invoice_payment",
    records.CreditNote: "credit_note",
    records.FeatureList: SUMMARY,
}
_LINK_ATTRIBUTES: Final = (
    ("customer", "customer"),
    ("subscription", "subscription"),
    ("payment_intent", "intent"),
    ("charge", "charge"),
    ("invoice", "invoice"),
)


class EventStore(Ordered, Protocol):
    """Events that are not kept one by one."""

    def types(self) -> frozenset[str]:
        """Return every type that one of its events may have."""
        ...

    def type_of(self, event_id: str) -> str: ...

    def subject_of(self, event_id: str) -> tuple[str, str]:
        """Return the family and the id of the object that an event is about."""
        ...

    def event(self, event_id: str) -> Json | bytes:
        """Return an event, or the JSON of it."""
        ...


@dataclass
class AccountState:
    """The objects of an account; ``page_size`` limits each list, also where more was asked for."""

    page_size: int = 100
    states: dict[str, list[tuple[datetime, State]]] = field(default_factory=dict)
    features: dict[str, list[tuple[datetime, list[str]]]] = field(default_factory=dict)
    product_features: dict[str, list[str]] = field(default_factory=dict)
    """The lookup keys of the features of each product."""
    line_items: dict[str, list[Json]] = field(default_factory=dict)
    listed: dict[str, list[Json]] = field(default_factory=dict)
    """All items of a subscription, or all lines of an invoice, of which the object shows ten."""
    prices: list[StripePrice] = field(default_factory=list)
    thin: dict[str, Json] = field(default_factory=dict)
    id: str = "acct_1Own"
    livemode: bool = False
    destinations: dict[str, Json] = field(default_factory=dict)
    """Destinations of events, by their ids."""
    undelivered: set[str] = field(default_factory=set)
    """Events that an endpoint has not acknowledged."""
    event_sources: list[EventStore] = field(default_factory=list)
    orders: dict[tuple[str, ...], CreationOrder] = field(default_factory=dict)
    """The objects by family, and by family, name and id of another object that they name."""
    _numbers: "count[int]" = field(default_factory=count)

    def learn(self, payload: Json) -> None:
        """Store a snapshot event and its object."""
        stated, at = payload["data"]["object"], moment(payload["created"])
        self.put(payload, at)
        if stated["object"] == SUMMARY:
            keys = [each["lookup_key"] for each in stated["entitlements"]["data"]]
            self.features.setdefault(stated["customer"], []).append((at, keys))
        else:
            self.put(stated, at)

    def put(self, stated: State, at: datetime | None = None) -> None:
        """Store an object's state from ``at`` on, or for all time, as the newest shape has it."""
        self.keep(printed(stated, Shape.NEW), at)

    def keep(self, stated: State, at: datetime | None = None) -> None:
        """Store an object's state as it is; a record is printed anew for each request."""
        since = at or BEGINNING
        if isinstance(stated, FeatureList):
            self.features.setdefault(stated.customer, []).append((since, list(stated.keys)))
            return
        stripe_id = str(value_of(stated, "id"))
        self.states.setdefault(stripe_id, []).append((since, stated))
        created = value_of(stated, "created")
        second = created if isinstance(created, int) else int(since.timestamp())
        family, number = family_of(stated), next(self._numbers)
        keys = [(family,), *((family, *link) for link in links_of(stated))]
        for key in keys:
            self.orders.setdefault(key, CreationOrder()).put(second, stripe_id, number)

    def drop(self, stripe_id: str) -> None:
        """Forget an object, as if it had never been."""
        self.states.pop(stripe_id, None)

    def sell(self, session_id: str, *offers: StripePrice) -> None:
        """Store what a checkout sold: one of each price."""
        self.line_items[session_id] = [
            render_session_line(f"li_{number}", offer, Shape.NEW)
            for number, offer in enumerate(offers)
        ]

    def state_of(self, stripe_id: str, at: datetime = FOREVER) -> State | None:
        """Return an object as it was at a time; None if it was not there."""
        states = self.states.get(stripe_id, [])
        if at is FOREVER:
            return states[-1][1] if states else None
        return next((state for since, state in reversed(states) if since <= at), None)

    def show(self, state: State, shape: Shape) -> Json:
        """Return the JSON of a state in the account's mode."""
        raw = printed(state, shape)
        return {**raw, "livemode": True} if self.livemode and "livemode" in raw else raw


def printed(state: State, shape: Shape) -> Json:
    """Return the JSON of a state, which the caller may add to."""
    return dict(state) if isinstance(state, dict) else render(state, shape)


def family_of(state: State) -> str:
    """Return the name of an object's kind, as its JSON has it."""
    return str(state["object"]) if isinstance(state, dict) else _FAMILIES[type(state)]


def value_of(state: State, name: str) -> object:
    """Return a plain field of an object; None if it has none."""
    return state.get(name) if isinstance(state, dict) else getattr(state, name, None)


def links_of(state: State) -> Iterable[tuple[str, str]]:
    """Yield the other objects that an object names, by the name of the field."""
    for name, attribute in _LINK_ATTRIBUTES:
        linked = _link(state, name) if isinstance(state, dict) else getattr(state, attribute, None)
        if isinstance(linked, str) and linked != value_of(state, "id"):
            yield name, linked


def _link(raw: Json, name: str) -> object:
    if name == "subscription" and raw.get("parent"):
        return (raw["parent"].get("subscription_details") or {}).get("subscription")
    if name == "payment_intent" and raw["object"] == "invoice_payment":
        return raw.get("payment", {}).get("payment_intent")
    return raw.get(name)


def moment(seconds: float) -> datetime:
    """Return the time for a Unix timestamp."""
    return datetime.fromtimestamp(seconds, UTC)
