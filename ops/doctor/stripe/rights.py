"""Name the right that a restricted key needs for each list, and the commands that need it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from ops.doctor.findings import Finding, ok, problem, warning
from runtime.stripe_api.errors import PAGE_OF_KEYS, ApiFailure, ApiForbidden

RIGHTS: Final = "rights of the key"
_OF_EVENTS: Final = "thin events"
_ALL: Final = f"{_OF_EVENTS}, backfill, reconcile"


@dataclass(frozen=True, slots=True, kw_only=True)
class NeededRight:
    """A right by its name in the API and on Stripe's page of keys, and what needs it."""

    right: str
    named: str
    needed_by: str


def _read(right: str, page: str, needed_by: str = _ALL) -> NeededRight:
    return NeededRight(right=f"{right}_read", named=f"{page}: Read", needed_by=needed_by)


NEEDED: Final[Mapping[str, NeededRight]] = {
    "/v1/customers": _read("customer", "Customers"),
    "/v1/subscriptions": _read("subscription", "Subscriptions"),
    "/v1/checkout/sessions": _read("checkout_session", "Checkout Sessions"),
    "/v1/invoices": _read("invoice", "Invoices"),
    "/v1/invoice_payments": _read("invoice", "Invoices"),
    "/v1/payment_intents": _read("payment_intent", "PaymentIntents"),
    "/v1/charges": _read("charge", "Charges and Refunds"),
    "/v1/refunds": _read("charge", "Charges and Refunds"),
    "/v1/disputes": _read("dispute", "Disputes"),
    "/v1/credit_notes": _read("credit_note", "Credit notes"),
    "/v1/entitlements/features": _read("entitlement", "Entitlements"),
    "/v1/products": _read("product", "Products", "plans draft"),
    "/v1/prices": _read("plan", "Prices", "plans draft, plans apply"),
    "/v1/events": _read("event", "Events", f"{_OF_EVENTS}, reconcile, doctor"),
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
