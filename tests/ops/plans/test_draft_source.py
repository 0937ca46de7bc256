"""Stripe is asked for what it sells: every page, and no price that nobody is on any more."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, urlsplit

from billing.fetching.record import ApiResponse
from ops.plans.draft_source import ask_for_draft

NOW = datetime(2026, 11, 30, tzinfo=UTC)


class SoldAtStripe:
    """Answers for an account that sells this, with two objects a page."""

    def __init__(
        self,
        *,
        prices: Sequence[Mapping[str, Any]],
        products: Sequence[Mapping[str, Any]] = (),
        features: Sequence[Mapping[str, Any]] = (),
        used: Sequence[str] = (),
    ) -> None:
        self.lists = {
            "/v1/prices": prices,
            "/v1/products": products,
            "/v1/products/prod_1/features": features,
        }
        self.used = used
        self.asked: list[str] = []

    def ask(self, request: str) -> ApiResponse:
        self.asked.append(request)
        asked = urlsplit(request)
        query = {name: values[0] for name, values in parse_qs(asked.query).items()}
        listed = self.lists.get(asked.path, [])
        if asked.path == "/v1/prices":
            wanted = query.get("active", "true") == "true"
            listed = [each for each in listed if each["active"] == wanted]
        if asked.path == "/v1/subscriptions":
            assert query["status"] == "all"
            listed = [{"id": "sub_1"}] if query["price"] in self.used else []
        ids = [each["id"] for each in listed]
        first = ids.index(query["starting_after"]) + 1 if "starting_after" in query else 0
        body = {"data": listed[first : first + 2], "has_more": first + 2 < len(ids)}
        return ApiResponse(
            request=request, status=200, at=NOW, api_version=None, text="", body=body
        )


def price(name: str, *, product: str = "prod_1", recurring: bool = True, **fields: Any) -> Any:
    every = {"interval": "month", "interval_count": 1} if recurring else None
    return {"id": name, "product": product, "active": True, "recurring": every, **fields}


def test_every_page_of_prices_and_products_is_read() -> None:
    sold = SoldAtStripe(
        prices=[price(f"price_{number}", product=f"prod_{number}") for number in range(5)],
        products=[{"id": f"prod_{number}", "name": f"P{number}"} for number in range(5)],
    )

    source = ask_for_draft(sold.ask)

    assert [each.name for each in source.products] == ["P0", "P1", "P2", "P3", "P4"]


def test_an_archived_price_stays_only_if_a_subscription_is_on_it() -> None:
    sold = SoldAtStripe(
        used=["price_used"],
        prices=[price("price_used", active=False), price("price_unused", active=False)],
    )

    source = ask_for_draft(sold.ask)

    assert [each.id for product in source.products for each in product.prices] == ["price_used"]
    assert source.left_out == 1


def test_an_archived_price_that_is_paid_once_stays() -> None:
    sold = SoldAtStripe(prices=[price("price_1", active=False, recurring=False)])

    source = ask_for_draft(sold.ask)

    assert [each.id for each in source.products[0].prices] == ["price_1"]
    assert not [each for each in sold.asked if "subscriptions" in each]


def test_the_features_of_a_product_are_asked_for_only_if_it_has_a_price() -> None:
    signals = {"id": "prodft_1", "entitlement_feature": {"lookup_key": "signals"}}
    sold = SoldAtStripe(
        prices=[price("price_1")],
        products=[{"id": "prod_1", "name": "Premium"}, {"id": "prod_2", "name": "Unsold"}],
        features=[signals, {"id": "prodft_2"}],
    )

    source = ask_for_draft(sold.ask)

    assert source.products[0].features == ("signals",)
    assert not [each for each in sold.asked if "prod_2" in each]
