"""Lead from an id to the page about it. Pure but for Flask's URLs."""

import re
from collections.abc import Mapping
from typing import Any, Final

from flask import current_app, url_for

_OF_STRIPE: Final = re.compile("[A-Za-z0-9_]+")
"""Any other text, such as one with a slash, would lead to another path."""

_PAGES: Final[Mapping[str, tuple[str, str]]] = {
    "cus": ("customers.show", "stripe_id"),
    "sub": ("subscriptions.show", "stripe_id"),
    "pi": ("payments.show", "stripe_id"),
    "ch": ("payments.show", "stripe_id"),
    "py": ("payments.show", "stripe_id"),
    "in": ("payments.show", "stripe_id"),
    "cs": ("purchases.show", "stripe_id"),
    "evt": ("events.show", "key"),
    "obs": ("events.show", "key"),
}
"""The page and its parameter, by the prefix of the id (https://docs.stripe.com/api)."""


def href_of(identifier: str) -> str:
    """Return the URL of the page about an id of Stripe; a search for it if it has no page."""
    endpoint, parameter = _PAGES.get(identifier.partition("_")[0], ("", ""))
    if endpoint in current_app.view_functions and _OF_STRIPE.fullmatch(identifier):
        values: dict[str, Any] = {parameter: identifier}
        return url_for(endpoint, **values)
    return url_for("search.find", q=identifier)
