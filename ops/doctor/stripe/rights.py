"""Name the right that a restricted key needs for each list, and the commands that need it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from ops.doctor.findings import Finding, ok, problem, warning
from runtime.stripe_api.errors import ApiFailure, ApiForbidden

RIGHTS: Final = "rights of the key"
_OF_EVENTS: Final = "thin events"
_ALL: Final = f"{_OF_EVENTS}, backfill, reconcile"


@dataclass(frozen=True, slots=True, kw_only=True)
class NeededRight:
    """A right as Stripe's page of keys names it, and what needs it."""

    named: str
    needed_by: str


NEEDED: Final[Mapping[str, NeededRight]] = {
    "/v1/customers": NeededRight(named="Customers: Read", needed_by=_ALL),
    "/v1/subscriptions": NeededRight(named="Subscriptions: Read", needed_by=_ALL),
    "/v1/checkout/sessions": NeededRight(named="Checkout Sessions: Read", needed_by=_ALL),
    "/v1/invoices": NeededRight(named="Invoices: Read", needed_by=_ALL),
    "/v1/invoice_payments": NeededRight(named="Invoices: Read", needed_by=_ALL),
    "/v1/payment_intents": NeededRight(named="PaymentIntents: Read", needed_by=_ALL),
    "/v1/charges": NeededRight(named="Charges and Refunds: Read", needed_by=_ALL),
    "/v1/refunds": NeededRight(named="Charges and Refunds: Read", needed_by=_ALL),
    "/v1/disputes": NeededRight(named="Disputes: Read", needed_by=_ALL),
    "/v1/credit_notes": NeededRight(named="Credit notes: Read", needed_by=_ALL),
    "/v1/entitlements/features": NeededRight(named="Entitlements: Read", needed_by=_ALL),
    "/v1/products": NeededRight(named="Products: Read", needed_by="plans draft"),
    "/v1/prices": NeededRight(named="Prices: Read", needed_by="plans draft, plans apply"),
    "/v1/events": NeededRight(named="Events: Read", needed_by=f"{_OF_EVENTS}, reconcile, doctor"),
    "/v1/webhook_endpoints": NeededRight(
        named="Webhook Endpoints: Read, and Write for --fix", needed_by="doctor"
    ),
}
"""Each list by its path: https://docs.stripe.com/keys/restricted-api-keys."""


def check_rights(tried: Mapping[str, ApiFailure | None]) -> Iterator[Finding]:
    """Yield each right that the key lacks; ``tried`` has the failure of each list, if any."""
    lacking = [path for path, failure in tried.items() if isinstance(failure, ApiForbidden)]
    for path in lacking:
        needed, failure = NEEDED[path], tried[path]
        exact = ", ".join(failure.rights) if isinstance(failure, ApiForbidden) else ""
        named = f"{needed.named} ({exact})" if exact else needed.named
        says = f"it lacks {named}, which {needed.needed_by} needs"
        yield problem(RIGHTS, f"{says}: give it at https://dashboard.stripe.com/apikeys")
    for path, failure in tried.items():
        if failure is not None and path not in lacking:
            yield warning(RIGHTS, f"{path} could not be tried: {failure}; run it again later")
    if not any(tried.values()):
        yield ok(RIGHTS, f"it may read all {len(tried)} lists that Paidup asks for")
