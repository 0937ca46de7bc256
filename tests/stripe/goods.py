"""The products, prices and features of an account, as Stripe's API lists them."""

from collections.abc import Iterable
from typing import Final

from ops.samples.api_shapes import Shape
from ops.samples.worlds.offers import StripePrice
from ops.samples.worlds.rendering import render_price
from tests.stripe.state import AccountState, Json

MADE_AT: Final = 1_600_000_000


def render_products(prices: Iterable[StripePrice]) -> list[Json]:
    """Return the product of each price once."""
    found = {price.product: price for price in prices}
    return [_product(product, price) for product, price in found.items()]


def _product(product: str, price: StripePrice) -> Json:
    return {
        "id": product,
        "object": "product",
        "active": True,
        "created": MADE_AT,
        "default_price": price.price,
        "description": None,
        "images": [],
        "livemode": False,
        "marketing_features": [],
        "metadata": {},
        "name": product.removeprefix("prod_").replace("_", " ").capitalize(),
        "package_dimensions": None,
        "shippable": None,
        "statement_descriptor": None,
        "tax_code": None,
        "type": "service",
        "unit_label": None,
        "updated": MADE_AT,
        "url": None,
    }


def render_prices(prices: Iterable[StripePrice], shape: Shape) -> list[Json]:
    """Return the prices."""
    return [{**render_price(price, shape), "created": MADE_AT} for price in prices]


def render_features(account: AccountState) -> list[Json]:
    """Return every feature that a customer of the account has, or had, or that a product has."""
    lists = [keys for states in account.features.values() for _, keys in states]
    lists += account.product_features.values()
    return [_feature(key) for key in sorted({key for keys in lists for key in keys})]


def _feature(key: str) -> Json:
    return {
        "id": f"feat_test_{key}",
        "object": "entitlements.feature",
        "active": True,
        "livemode": False,
        "lookup_key": key,
        "metadata": {},
        "name": key.replace("_", " ").capitalize(),
    }


def render_product_features(keys: Iterable[str]) -> list[Json]:
    """Return the features of a product with these lookup keys."""
    return [
        {
            "id": f"prodft_{key}",
            "object": "product_feature",
            "entitlement_feature": _feature(key),
            "livemode": False,
        }
        for key in keys
    ]
