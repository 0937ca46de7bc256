"""Ask Stripe what a draft of the plans is made of: products, prices, features.

An archived price that no subscription is on is left out. An archived price that is paid once stays,
because a purchase may have no end. A product's features are asked for one product at a time.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from urllib.parse import quote, urlencode

from billing.fetching.record import ApiResponse
from billing.json_fields import Raw, flag_in, object_in, objects_in, text_in
from ops.connections import open_api
from ops.plans.draft import DraftPrice, DraftProduct, group_products, read_price
from ops.terminal.progress import progress
from runtime.settings import Settings
from runtime.stripe_api.accounts import ApiAccount

Ask = Callable[[str], ApiResponse]
"""Sends a GET for a path."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DraftSource:
    """Everything that a draft shows; ``left_out`` counts archived prices without subscription."""

    products: tuple[DraftProduct, ...]
    left_out: int


def draft_of(settings: Settings) -> DraftSource:
    """Return what the account of the API key sells.

    Raises:
        ApiFailure: Stripe does not answer, or the key may not read this.
    """
    account = ApiAccount.own(settings)
    with open_api(settings, caller="plans") as api:
        return ask_for_draft(lambda request: api.ask(request, account))


def ask_for_draft(ask: Ask) -> DraftSource:
    """Return the products and prices of the account that ``ask`` asks.

    Raises:
        ApiFailure: Stripe does not answer, or the key may not read this.
    """
    listed = [
        price
        for active in ("true", "false")  # without `active` Stripe lists no archived price
        for raw in _pages(ask, "/v1/prices", active=active)
        if (price := read_price(raw))
    ]
    kept = [*_kept(ask, listed)]
    sold = {each.product for each in kept}
    names, features = dict[str, str](), dict[str, list[str]]()
    with progress("products", len(sold)) as report:
        for raw in _pages(ask, "/v1/products"):
            product = text_in(raw, "id") or ""
            if product in sold:
                names[product] = text_in(raw, "name") or product
                features[product] = [*_features(ask, product)]
                report(len(names))
    return DraftSource(
        products=group_products(names, kept, features), left_out=len(listed) - len(kept)
    )


def _kept(ask: Ask, prices: list[DraftPrice]) -> Iterator[DraftPrice]:
    doubtful = sum(_is_doubtful(each) for each in prices)
    asked = 0
    with progress("archived prices", doubtful) as report:
        for price in prices:
            if not _is_doubtful(price):
                yield price
                continue
            if _has_subscription(ask, price.id):
                yield price
            asked += 1
            report(asked)


def _is_doubtful(price: DraftPrice) -> bool:
    return not price.active and price.interval is not None


def _has_subscription(ask: Ask, price: str) -> bool:
    query = urlencode({"price": price, "status": "all", "limit": 1})
    return bool(objects_in(ask(f"/v1/subscriptions?{query}").body, "data"))


def _features(ask: Ask, product: str) -> Iterator[str]:
    for raw in _pages(ask, f"/v1/products/{quote(product, safe='')}/features"):
        key = text_in(object_in(raw, "entitlement_feature"), "lookup_key")
        if key is not None:
            yield key


def _pages(ask: Ask, path: str, **wanted: str) -> Iterator[Raw]:
    after: str | None = None
    while True:
        start = {"starting_after": after} if after else {}
        query = urlencode({"limit": 100, **wanted, **start})
        body = ask(f"{path}?{query}").body
        listed = objects_in(body, "data")
        yield from listed
        after = text_in(listed[-1], "id") if listed else None
        if after is None or not flag_in(body, "has_more"):
            return
