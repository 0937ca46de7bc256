"""Judge what Stripe could not deliver, and what an endpoint that fails holds up. Pure."""

from collections.abc import Iterator
from typing import Final

from ops.doctor.findings import Finding, ok, problem, warning
from ops.doctor.stripe.check_endpoint import FIX, HOLDS_INVOICES
from ops.doctor.stripe.seen import ExpectedDelivery, SeenAtStripe
from ops.terminal.formats import format_count, format_duration, format_time

UNDELIVERED: Final = "undelivered events"
INVOICES: Final = "invoice.created"
_SHOWN: Final = 5


def check_deliveries(seen: SeenAtStripe, expected: ExpectedDelivery) -> Iterator[Finding]:
    """Yield how many events Stripe still tries to deliver, and whether they hold up invoices."""
    if seen.undelivered_read:
        yield _undelivered(seen)
    yield from _invoices(seen, expected)


def _undelivered(seen: SeenAtStripe) -> Finding:
    found = seen.undelivered
    if found is None:
        return ok(UNDELIVERED, "none: each event of 30 days was acknowledged by every endpoint")
    at_least = "at least " if found.more else ""
    types = sorted(found.types.items(), key=lambda each: (-each[1], each[0]))
    listed = ", ".join(f"{number} {name}" for name, number in types[:_SHOWN])
    more = f", and {len(types) - _SHOWN} more types" if len(types) > _SHOWN else ""
    age = format_duration((seen.now - found.oldest).total_seconds())
    return warning(
        UNDELIVERED,
        f"some endpoint did not acknowledge {at_least}{format_count(found.number, 'event')} of 30"
        f" days ({listed}{more}), the oldest from {format_time(found.oldest)}, {age} ago. Stripe"
        " does not say which endpoint: `paidup reconcile` finds those that are missing here",
    )


def _invoices(seen: SeenAtStripe, expected: ExpectedDelivery) -> Iterator[Finding]:
    held = seen.undelivered.types.get(HOLDS_INVOICES, 0) if seen.undelivered else 0
    if held:
        yield problem(
            INVOICES,
            f"some endpoint did not acknowledge {format_count(held, 'event')} of this type. Until"
            " it does, 72 hours at most, Stripe neither finalises nor collects the invoice: look"
            " which endpoint fails at https://dashboard.stripe.com/webhooks",
        )
    if seen.destinations is None:
        return
    ours = [each for each in seen.ours(expected) if each.enabled and each.has(HOLDS_INVOICES)]
    if ours:
        named = ", ".join(each.id for each in ours)
        yield warning(
            INVOICES,
            f"{named} receives it, which Paidup does not need: while ingest answers no 2xx, Stripe"
            f" finalises invoices up to 72 hours late. Remove it by {FIX}",
        )
    elif not held:
        yield ok(
            INVOICES, "our endpoint does not receive it, so no failure of ours delays invoices"
        )
