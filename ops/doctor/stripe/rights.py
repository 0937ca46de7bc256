"""Name the right that a restricted key needs for each list, and the commands that need it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from ops.doctor.findings import Finding, ok, problem, warning
from runtime.stripe_api.errors import ApiFailure, ApiForbidden

RIGHTS: Final = "rights of the key"
PAGE_OF_KEYS: Final = "https://dashboard.stripe.com/apikeys"
_OF_EVENTS: Final = "thin events"
_ALL: Final = f"{_OF_EVENTS}, backfill, reconcile"


@dataclass(frozen=True, slots=True, kw_only=True)
class NeededRight:
    """A right by its name in the API and on Stripe's page of keys, and what needs it."""

    right: str
    named: str
    needed_by: str


NEEDED: Final[Mapping[str, NeededRight]] = {
    "/v1/customers": NeededRight(right="customer_read", named="Customers: Read", needed_by=_ALL),
    "/v1/subscriptions": NeededRight(
        right="subscription_read", named="Subscriptions: Read", needed_by=_ALL
    ),
    "/v1/checkout/sessions": NeededRight(
        right="checkout_session_read", named="Checkout Sessions: Read", needed_by=_ALL
    ),
    "/v1/invoices": NeededRight(right="invoice_read", named="Invoices: Read", needed_by=_ALL),
    "/v1/invoice_payments": NeededRight(
        right="invoice_read", named="Invoices: Read", needed_by=_ALL
    ),
    "/v1/payment_intents": NeededRight(
        right="payment_intent_read", named="PaymentIntents: Read", needed_by=_ALL
    ),
    "/v1/charges": NeededRight(
        right="charge_read", named="Charges and Refunds: Read", needed_by=_ALL
    ),
    "/v1/refunds": NeededRight(
        right="charge_read", named="Charges and Refunds: Read", needed_by=_ALL
    ),
    "/v1/disputes": NeededRight(right="dispute_read", named="Disputes: Read", needed_by=_ALL),
    "/v1/credit_notes": NeededRight(
        right="credit_note_read", named="Credit notes: Read", needed_by=_ALL
    ),
    "/v1/entitlements/features": NeededRight(
        right="entitlement_read", named="Entitlements: Read", needed_by=_ALL
    ),
    "/v1/products": NeededRight(
        right="product_read", named="Products: Read", needed_by="plans draft"
    ),
    "/v1/prices": NeededRight(
        right="plan_read", named="Prices: Read", needed_by="plans draft, plans apply"
    ),
    "/v1/events": NeededRight(
        right="event_read", named="Events: Read", needed_by=f"{_OF_EVENTS}, reconcile, doctor"
    ),
    "/v1/webhook_endpoints": NeededRight(
        right="webhook_write",
        named="Webhook Endpoints: Read, and Write for --fix",
        needed_by="doctor",
    ),
}
"""Each list by its path: https://docs.stripe.com/keys/restricted-api-keys.

``plan`` is the older name of prices. Charges and refunds share a right.
"""


def link_for_new_key() -> str:
    """Return the address at which Stripe offers a restricted key with every right of these.

    Stripe does not document it. PostHog's import of Stripe's data, for one, sends its users there:
    https://github.com/PostHog/posthog
    """
    rights = sorted({each.right for each in NEEDED.values()})
    chosen = "".join(f"&permissions[]=rak_{right}" for right in rights)
    return f"{PAGE_OF_KEYS}/create?name=Paidup{chosen}"


def check_rights(tried: Mapping[str, ApiFailure | None]) -> Iterator[Finding]:
    """Yield each right that the key lacks; ``tried`` has the failure of each list, if any."""
    lacking = [path for path, failure in tried.items() if isinstance(failure, ApiForbidden)]
    for path in lacking:
        needed, failure = NEEDED[path], tried[path]
        exact = ", ".join(failure.rights) if isinstance(failure, ApiForbidden) else ""
        named = f"{needed.named} ({exact})" if exact else needed.named
        says = f"it lacks {named}, which {needed.needed_by} needs"
        yield problem(RIGHTS, f"{says}: give it at {PAGE_OF_KEYS}")
    if lacking:
        yield warning(RIGHTS, f"Stripe offers a new key with every right at {link_for_new_key()}")
    for path, failure in tried.items():
        if failure is not None and path not in lacking:
            yield warning(RIGHTS, f"{path} could not be tried: {failure}; run it again later")
    if not any(tried.values()):
        yield ok(RIGHTS, f"it may read all {len(tried)} lists that Paidup asks for")
