"""Choose the accounts and modes that a reconciliation compares."""

from collections.abc import Sequence

from billing.ids import Realm
from ops.errors import CommandFailed
from runtime.reconciling import modes_of
from runtime.settings import Settings
from runtime.stripe_api.accounts import ApiAccount


def accounts_of(settings: Settings, named: Sequence[str] = ()) -> tuple[ApiAccount, ...]:
    """Return our own account and the connected ones, or those that are named.

    Raises:
        CommandFailed: there is no key, it does not tell its mode, or an account is not listed.
    """
    if settings.stripe_api_key is None:
        raise CommandFailed("STRIPE_API_KEY is not set: set it, so that Stripe can be asked")
    modes = modes_of(settings)
    if not modes:
        raise CommandFailed(
            "STRIPE_API_KEY reads no mode whose events count here: set PAIDUP_LIVEMODE to the mode"
            " of the key"
        )
    if unlisted := sorted(set(named) - settings.connect_accounts):
        raise CommandFailed(
            f"PAIDUP_CONNECT_ACCOUNTS does not list {', '.join(unlisted)}: its events do not count"
        )
    wanted = sorted(set(named)) if named else [None, *sorted(settings.connect_accounts)]
    return tuple(ApiAccount(livemode=mode, account=account) for mode in modes for account in wanted)


def account_of(settings: Settings, realm: Realm) -> ApiAccount | None:
    """Return the account of a realm, None if it is not compared any more."""
    found = (each for each in accounts_of(settings) if each.realm == realm)
    return next(found, None)
