"""Say which paths got signed deliveries instead of the endpoint, and what to do."""

from ops.terminal.formats import format_count, format_time
from runtime.inbox.wrong_paths import WrongPath

TODO = "correct the endpoint's URL at Stripe, or set PAIDUP_WEBHOOK_PATH"


def describe_wrong_path(found: WrongPath) -> str:
    """Return a sentence about one path."""
    says = f"{format_count(found.deliveries, 'signed request')} to {found.path} got 404"
    return f"{says}, the last at {format_time(found.last_at)}: {TODO}"
