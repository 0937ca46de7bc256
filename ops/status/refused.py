"""Say which deliveries ingest refuses, because of their path or their signature, and what to do."""

from ops.terminal.formats import format_count, format_time
from runtime.inbox.signatures import Mismatches
from runtime.inbox.wrong_paths import WrongPath

TODO = "correct the endpoint's URL at Stripe, or set PAIDUP_WEBHOOK_PATH"


def describe_wrong_path(found: WrongPath) -> str:
    """Return a sentence about one path."""
    says = f"{format_count(found.deliveries, 'signed request')} to {found.path} got 404"
    return f"{says}, the last at {format_time(found.last_at)}: {TODO}"


def describe_mismatches(found: Mismatches) -> str:
    """Return a sentence about the deliveries in a row that matched no secret."""
    refused = format_count(found.deliveries, "signed request")
    says = f"{refused} in a row matched no secret and got 403"
    first, last = format_time(found.first_at), format_time(found.last_at)
    since = f"at {last}" if first == last else f"from {first} to {last}"
    at = format_time(found.matched_at) if found.matched_at else ""
    matched = f"one matched at {at}" if at else "none matched"
    todo = "compare STRIPE_WEBHOOK_SECRET with the endpoint's page at Stripe"
    attempt = "`paidup doctor --delivery BODY --signature HEADER`"
    return f"{says}, {since}; before that {matched}: {todo}, or try one: {attempt}"
