"""Read the parameters of a list as Stripe reads them; one that it does not know is refused."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Final
from urllib.parse import parse_qsl

from tests.stripe.refusals import bad_parameter, missing_parameter, unknown_parameter

DEFAULT_LIMIT: Final = 10
MAX_LIMIT: Final = 100
MAX_TYPES: Final = 20
BOUNDS: Final = ("gt", "gte", "lt", "lte")
LINKS: Final = frozenset({"customer", "subscription", "payment_intent", "charge", "invoice"})
"""Parameters that name another object of the account."""

_PAGING: Final = frozenset({"limit", "starting_after", "ending_before", "expand"})
_NAME: Final = re.compile(r"([a-z_]+)(?:\[([a-z_]*)\])?(?:\[\d*\])?")


@dataclass(frozen=True)
class Collection:
    """A list of Stripe's API: the family of its objects and the parameters that it takes.

    Stripe takes some more, which nothing here asks for; they are refused as unknown ones are.
    """

    family: str
    params: frozenset[str] = frozenset()
    statuses: frozenset[str] = frozenset()
    required: str | None = None


def _collection(
    family: str, params: str = "", statuses: str = "", required: str | None = None
) -> Collection:
    return Collection(family, frozenset(params.split()), frozenset(statuses.split()), required)


COLLECTIONS: Final[Mapping[str, Collection]] = {
    "customers": _collection("customer", "created email"),
    "subscriptions": _collection(
        "subscription",
        "created customer status",
        "all ended active canceled incomplete incomplete_expired past_due paused trialing unpaid",
    ),
    "subscription_items": _collection("subscription_item", "subscription", required="subscription"),
    "checkout/sessions": _collection(
        "checkout.session",
        "created customer payment_intent status subscription",
        "complete expired open",
    ),
    "payment_intents": _collection("payment_intent", "created customer"),
    "charges": _collection("charge", "created customer payment_intent"),
    "refunds": _collection("refund", "created charge payment_intent"),
    "disputes": _collection("dispute", "created charge payment_intent"),
    "invoices": _collection(
        "invoice", "created customer subscription status", "draft open paid uncollectible void"
    ),
    "invoice_payments": _collection(
        "invoice_payment", "created invoice payment status", "canceled open paid"
    ),
    "credit_notes": _collection("credit_note", "created customer invoice"),
    "products": _collection("product", "created active ids"),
    "prices": _collection("price", "created active product lookup_keys type"),
    "entitlements/features": _collection("entitlements.feature", "archived lookup_key"),
    "entitlements/active_entitlements": _collection(
        "entitlements.active_entitlement", "customer", required="customer"
    ),
    "events": _collection("event", "created delivery_success type types"),
    "webhook_endpoints": _collection("webhook_endpoint"),
}
"""The lists by their paths below ``/v1``."""


@dataclass(frozen=True, kw_only=True)
class ListQuery:
    """The parameters of one request for a list."""

    limit: int = DEFAULT_LIMIT
    starting_after: str | None = None
    ending_before: str | None = None
    created: Mapping[str, int] = field(default_factory=dict)
    expand: tuple[str, ...] = ()
    named: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """The values of every other parameter."""

    @property
    def oldest(self) -> int:
        """The first second that ``created`` allows."""
        bounds = [0, self.created.get("gte", 0), self.created.get("gt", -1) + 1]
        return max(*bounds, self.created.get("eq", 0))

    @property
    def newest(self) -> int | None:
        """The last second that ``created`` allows; None if it is open."""
        found = [self.created[name] for name in ("lte", "eq") if name in self.created]
        found += [self.created["lt"] - 1] if "lt" in self.created else []
        return min(found, default=None)

    def one(self, name: str) -> str | None:
        """Return the last value of a parameter."""
        return self.named[name][-1] if name in self.named else None

    @property
    def links(self) -> dict[str, str]:
        """The other objects that the listed ones must name."""
        found = {name: values[-1] for name, values in self.named.items() if name in LINKS}
        if payment := self.one("payment.payment_intent"):
            found["payment_intent"] = payment
        return found

    def wants_type(self, event_type: str) -> bool:
        """Return whether ``type`` with its wildcards, or ``types``, lets an event pass."""
        patterns = (*self.named.get("types", ()), *self.named.get("type", ()))
        return not patterns or any(fnmatchcase(event_type, each) for each in patterns)


def read_pairs(query: str) -> list[tuple[str, str | None, str]]:
    """Return each parameter of a query or a form: name, name in brackets, value."""
    found = []
    for name, value in parse_qsl(query, keep_blank_values=True):
        match = _NAME.fullmatch(name)
        if match is None:
            raise unknown_parameter(name)
        found.append((match[1], match[2] or None, value))
    return found


def read_list_query(query: str, collection: Collection) -> ListQuery:
    """Return the parameters of a request for a list.

    Raises:
        StripeRefusal: Stripe would not answer it.
    """
    named: dict[str, tuple[str, ...]] = {}
    created: dict[str, int] = {}
    for name, inner, value in read_pairs(query):
        if name not in collection.params | _PAGING:
            raise unknown_parameter(name)
        if name == "created":
            created[_bound(inner)] = _integer(name, value)
        else:
            key = f"{name}.{inner}" if inner else name
            named[key] = (*named.get(key, ()), value)
    _refuse_odd_values(named, collection)
    limit = _integer("limit", named["limit"][-1]) if "limit" in named else DEFAULT_LIMIT
    if not 1 <= limit <= MAX_LIMIT:
        raise bad_parameter("limit", f"Invalid limit: {limit} is not between 1 and {MAX_LIMIT}")
    return ListQuery(
        limit=limit,
        starting_after=_last(named, "starting_after"),
        ending_before=_last(named, "ending_before"),
        created=created,
        expand=named.get("expand", ()),
        named={name: values for name, values in named.items() if name not in _PAGING},
    )


def _bound(inner: str | None) -> str:
    if inner is None:
        return "eq"
    if inner not in BOUNDS:
        raise unknown_parameter(f"created[{inner}]")
    return inner


def _integer(name: str, value: str) -> int:
    if not re.fullmatch(r"-?\d{1,15}", value):
        raise bad_parameter(name, f"Invalid integer: {value}", "parameter_invalid_integer")
    return int(value)


def _last(named: Mapping[str, tuple[str, ...]], name: str) -> str | None:
    return named[name][-1] if name in named else None


def _refuse_odd_values(named: Mapping[str, tuple[str, ...]], collection: Collection) -> None:
    if collection.required and collection.required not in named:
        raise missing_parameter(collection.required)
    if "starting_after" in named and "ending_before" in named:
        raise bad_parameter("ending_before", "You cannot use both starting_after and ending_before")
    if "type" in named and "types" in named and collection.family == "event":
        raise bad_parameter("types", "You may pass either type or types, but not both")
    if len(named.get("types", ())) > MAX_TYPES:
        raise bad_parameter("types", f"You may pass at most {MAX_TYPES} types")
    status = _last(named, "status")
    if status is not None and status not in collection.statuses:
        allowed = ", ".join(sorted(collection.statuses))
        raise bad_parameter("status", f"Invalid status: must be one of {allowed}")
