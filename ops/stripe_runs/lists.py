"""The lists of Stripe's API that show every object that Paidup reads, and the requests for them.

A list is newest first and at most a hundred objects a page. It may leave out lines of an object,
which is then fetched by itself (``ops/stripe_runs/objects.py``). Features are listed for one
customer only: https://docs.stripe.com/api/entitlements/active-entitlement/list
"""

from dataclasses import dataclass, replace
from typing import Final
from urllib.parse import quote

from billing.facts import Kind
from billing.families import FAMILIES

EVENTS_KEPT_DAYS: Final = 30
"""Stripe lists events for at least so long: https://docs.stripe.com/api/events."""

PAGE_SIZE: Final = 100
"""The most objects that Stripe puts into one page."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StripeList:
    """One list: ``family`` is the value of ``object`` of what it lists.

    ``query`` is written as in a URL. ``has_created`` is False for a list that takes no range of
    times; ``of_customer`` names what limits it to a customer, or None if nothing does.
    """

    name: str
    family: str
    path: str
    query: tuple[str, ...] = ()
    has_created: bool = True
    of_customer: str | None = "customer"

    def where(self, *given: tuple[str, str], **values: str) -> "StripeList":
        """Return the list limited to what has these values, such as one customer.

        A parameter that takes several is given as pairs: ``("types[]", "charge.refunded")``.
        """
        pairs = (*given, *values.items())
        added = tuple(f"{name}={quote(value, safe='')}" for name, value in pairs)
        return replace(self, query=(*self.query, *added))


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """The seconds of Unix time in which objects were created; both ends belong to it.

    None is no end.
    """

    oldest: int | None = None
    newest: int | None = None


EVERYTHING: Final = Span()
"""The span of every object of a list."""


def _list(name: str, kind: Kind, path: str, *query: str, of: str | None = "customer") -> StripeList:
    family = FAMILIES[kind].stripe_name
    return StripeList(name=name, family=family, path=path, query=query, of_customer=of)


CUSTOMERS: Final = _list("customers", Kind.CUSTOMER, "/v1/customers", of=None)
SUBSCRIPTIONS: Final = _list(
    # Without it Stripe leaves out the subscriptions that ended.
    *("subscriptions", Kind.SUBSCRIPTION, "/v1/subscriptions", "status=all"),
)
CHECKOUTS: Final = _list(
    *("checkouts", Kind.CHECKOUT_SESSION, "/v1/checkout/sessions", "expand[]=data.line_items"),
)
INVOICES: Final = _list("invoices", Kind.INVOICE, "/v1/invoices", "expand[]=data.payments")
PAYMENT_INTENTS: Final = _list("payment_intents", Kind.PAYMENT_INTENT, "/v1/payment_intents")
CHARGES: Final = _list("charges", Kind.CHARGE, "/v1/charges")
REFUNDS: Final = _list("refunds", Kind.REFUND, "/v1/refunds", of=None)
DISPUTES: Final = _list("disputes", Kind.DISPUTE, "/v1/disputes", of=None)
CREDIT_NOTES: Final = _list("credit_notes", Kind.CREDIT_NOTE, "/v1/credit_notes")
EVENTS: Final = StripeList(name="events", family="event", path="/v1/events", of_customer=None)

OBJECT_LISTS: Final = (
    CUSTOMERS,
    SUBSCRIPTIONS,
    CHECKOUTS,
    INVOICES,
    PAYMENT_INTENTS,
    CHARGES,
    REFUNDS,
    DISPUTES,
    CREDIT_NOTES,
)
"""Every list of objects that the readers know, those first that others refer to."""

OF_PAYMENT: Final = (REFUNDS, DISPUTES)
"""The lists that take no customer, but ``payment_intent`` or ``charge``."""

FEATURES: Final = StripeList(
    name="features",
    family="entitlements.feature",
    path="/v1/entitlements/features",
    has_created=False,
    of_customer=None,
)
"""The features that the account has at all; without one no customer has any."""


def page_request(
    wanted: StripeList, span: Span, *, after: str | None = None, size: int = PAGE_SIZE
) -> str:
    """Return the path and query of a page: the newest of the span, or those after an object."""
    words = [*wanted.query, f"limit={size}"]
    if wanted.has_created and span.oldest is not None:
        words.append(f"created[gte]={span.oldest}")
    if wanted.has_created and span.newest is not None:
        words.append(f"created[lte]={span.newest}")
    if after is not None:
        words.append(f"starting_after={quote(after, safe='')}")
    return f"{wanted.path}?{'&'.join(words)}"
