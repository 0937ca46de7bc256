"""Judge the API key by its form: its mode, its kind, and what an organisation's key needs. Pure."""

import re
from collections.abc import Iterator
from typing import Final

from ops.doctor.findings import Finding, ok, problem, warning
from runtime.settings import Settings
from runtime.stripe_api.accounts import ORGANISATION_KEY

KEY: Final = "STRIPE_API_KEY"
READS: Final = "read requests"
_RESTRICTED: Final = re.compile(r"rk_(live|test)_")
_SECRET: Final = re.compile(r"sk_(live|test)_")


def check_key(settings: Settings) -> Iterator[Finding]:
    """Yield what the form of the key says; no finding contains a part of it."""
    key, mode = settings.stripe_api_key or "", settings.effective_livemode()
    if mode != "any" and not settings.may_fetch(livemode=mode == "live"):
        yield problem(KEY, f"is of the other mode than PAIDUP_LIVEMODE: set a {mode} key")
    elif key.startswith(ORGANISATION_KEY):
        yield _of_organisation(settings)
    elif found := _RESTRICTED.match(key):
        yield ok(KEY, f"is a restricted key of {found[1]} mode")
    elif found := _SECRET.match(key):
        says = f"is a secret key of {found[1]} mode, which may do everything"
        yield warning(KEY, f"{says}: a restricted key (rk_{found[1]}_...) with read rights will do")
    else:
        yield problem(KEY, "is no secret or restricted key of Stripe's: set one (rk_... or sk_...)")


def check_read_requests(sent: int, allowed: int) -> Finding:
    """Compare the read requests of 30 days with the smallest allocation that Stripe gives."""
    says = f"{sent} were sent by Paidup in the last 30 days"
    least = f"Stripe allows at least {allowed} to an account, 500 for each transaction if more"
    if sent > allowed:
        return warning(READS, f"{says}; {least}: look at https://docs.stripe.com/rate-limits")
    return ok(READS, f"{says}; {least}")


def _of_organisation(settings: Settings) -> Finding:
    if not settings.connect_accounts:
        says = "is a key of an organisation, which has no account of its own"
        todo = "list its accounts in PAIDUP_CONNECT_ACCOUNTS"
        return problem(KEY, f"{says}: {todo}, or set a key of one account")
    accounts = ", ".join(sorted(settings.connect_accounts))
    says = "is a key of an organisation; each request names an account in Stripe-Context"
    return ok(KEY, f"{says}: {accounts}")
