"""Ask Stripe on which prices the lookup keys of the plans stand.

A lookup key can be transferred to a new price. Subscriptions on the old price are then on a price
without a key, so the catalogue of record notes each price that ever had one.
https://docs.stripe.com/products-prices/manage-prices#lookup-keys
"""

from collections.abc import Mapping, Sequence
from typing import Final
from urllib.parse import urlencode

import click

from billing.catalogue import Catalogue
from billing.json_fields import objects_in, text_in
from ops.connections import open_api
from runtime.settings import Settings
from runtime.stripe_api.accounts import ApiAccount
from runtime.stripe_api.errors import ApiFailure

KEYS_AT_ONCE: Final = 10
"""Stripe's limit for one request: https://docs.stripe.com/api/prices/list (``lookup_keys``)."""


def ask_price_keys(settings: Settings, plans: Catalogue) -> Mapping[str, str]:
    """Return the lookup key of each price that bears one, by price id; nothing without a key.

    A warning says that Stripe did not answer. What earlier versions know stays known.
    """
    names = plans.names_besides_prices()
    if not names or settings.stripe_api_key is None:
        return {}
    found, account = dict[str, str](), ApiAccount.own(settings)
    try:
        with open_api(settings, caller="plans") as api:
            for start in range(0, len(names), KEYS_AT_ONCE):
                answer = api.ask(_request(names[start : start + KEYS_AT_ONCE]), account)
                for price in objects_in({"prices": answer.body}, "prices"):
                    price_id, key = text_in(price, "id"), text_in(price, "lookup_key")
                    if price_id and key:
                        found[price_id] = key
    except ApiFailure as error:
        kept = "the prices that are known already stay known; run the command again later"
        click.echo(
            f"Stripe did not say which prices bear the lookup keys: {error}; {kept}", err=True
        )
    return found


def print_lookup_keys(settings: Settings, names: Sequence[str]) -> None:
    """Print which names may be lookup keys, and whether Stripe can be asked about them."""
    if names:
        listed = ", ".join(names)
        asks = "`plans apply` asks Stripe on which prices they stand"
        missing = "set STRIPE_API_KEY so that `plans apply` can ask Stripe on which prices"
        click.echo(f"lookup keys: {listed}; {asks if settings.stripe_api_key else missing}")


def _request(keys: Sequence[str]) -> str:
    return f"/v1/prices?{urlencode([('lookup_keys[]', key) for key in keys])}&limit=100"
