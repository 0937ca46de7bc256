"""Judge which signing secret Stripe uses, from what ingest keeps in Redis. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

from ops.doctor.findings import Finding, ok, warning
from ops.terminal.formats import format_duration, format_time
from runtime.telemetry import secret_fingerprint

USE: Final = "use of secrets"
_LATELY: Final = timedelta(days=7)


def check_use_of_secrets(
    secrets: Sequence[str], last_used: Mapping[str, datetime], now: datetime
) -> Iterator[Finding]:
    """Yield when each secret of the settings signed a delivery last, by its fingerprint."""
    uses = {secret_fingerprint(each): last_used.get(secret_fingerprint(each)) for each in secrets}
    lately = [at for at in uses.values() if at is not None and now - at < _LATELY]
    for number, (fingerprint, at) in enumerate(uses.items(), start=1):
        named = f"secret {number} (fingerprint {fingerprint})"
        if at is not None and now - at < _LATELY:
            age = format_duration(max((now - at).total_seconds(), 0))
            yield ok(USE, f"{named} signed a delivery {age} ago, at {format_time(at)}")
            continue
        since = f"since {format_time(at)}" if at else "in the last 35 days"
        says = f"{named} signed no delivery {since}"
        if lately:
            yield warning(USE, f"{says}, and another one did: remove it from STRIPE_WEBHOOK_SECRET")
        else:
            yield warning(USE, f"{says}: nothing comes from Stripe, or with another secret")
