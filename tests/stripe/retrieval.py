"""Answer a GET of the first API: one object, all of a list that an object cuts off, or a list."""

import json
from urllib.parse import unquote

from tests.stripe.expansion import expanded, refuse_odd_expansions
from tests.stripe.goods import render_prices, render_product_features, render_products
from tests.stripe.lists import Asked, answer_list, page_of
from tests.stripe.queries import COLLECTIONS, Collection, read_list_query, read_pairs
from tests.stripe.refusals import missing, unknown_parameter, unknown_url
from tests.stripe.state import AccountState, Json, family_of, value_of

_PARTS = {"line_items": "checkout/sessions", "lines": "invoices"}


def answer_get(account: AccountState, path: str, query: str, asked: Asked) -> Json:
    """Return the body of the answer to a path below ``/v1``.

    Raises:
        StripeRefusal: Stripe would not answer it.
    """
    if path == "account":
        return own_account(account)
    if path in COLLECTIONS:
        return answer_list(account, path, query, asked)
    owner, _, part = path.rpartition("/")
    if part in _PARTS:
        return _answer_part(account, owner.rpartition("/")[2], part, query, asked)
    if part == "features" and owner.startswith("products/"):
        product = unquote(owner.rpartition("/")[2])
        entries = render_product_features(account.product_features.get(product, []))
        wanted = read_list_query(query, Collection("product_feature"))
        return page_of(entries, wanted, url=f"/v1/{path}", size=account.page_size)
    if owner not in COLLECTIONS:
        raise unknown_url("GET", f"/v1/{path}")
    return _retrieve(account, COLLECTIONS[owner], unquote(part), query, asked)


def own_account(account: AccountState) -> Json:
    """Return the account itself."""
    return {
        "id": account.id,
        "object": "account",
        "charges_enabled": True,
        "country": "US",
        "created": 1_500_000_000,
        "default_currency": "usd",
        "details_submitted": True,
        "email": "owner@example.com",
        "payouts_enabled": True,
        "type": "standard",
    }


def _answer_part(account: AccountState, owner: str, part: str, query: str, asked: Asked) -> Json:
    wanted = read_list_query(query, Collection(part))
    if part == "line_items":
        entries = account.line_items.get(owner, [])
    elif owner in account.listed:
        entries = account.listed[owner]
    else:
        state = account.state_of(owner, asked.at)
        if state is None:
            raise missing("invoice", owner)
        entries = account.show(state, asked.shape)["lines"]["data"]
    return page_of(entries, wanted, url=f"/v1/{owner}/{part}", size=account.page_size)


def _retrieve(
    account: AccountState, collection: Collection, stripe_id: str, query: str, asked: Asked
) -> Json:
    expand = []
    for name, _, value in read_pairs(query):
        if name != "expand":
            raise unknown_parameter(name)
        expand.append(value)
    refuse_odd_expansions(expand)
    if collection.family in ("price", "product"):
        return _one_of_goods(account, collection.family, stripe_id, asked)
    state = account.state_of(stripe_id, asked.at)
    if state is None and collection.family == "event":
        return _listed_event(account, stripe_id)
    if state is None or family_of(state) != collection.family:
        raise missing(collection.family, stripe_id)
    if value_of(state, "deleted") is True:
        return {"id": stripe_id, "object": collection.family, "deleted": True}
    return expanded(account, account.show(state, asked.shape), expand, asked.at, asked.shape)


def _listed_event(account: AccountState, event_id: str) -> Json:
    for source in account.event_sources:
        if source.place_of(event_id):
            event = source.event(event_id)
            return json.loads(event) if isinstance(event, bytes) else event
    raise missing("event", event_id)


def _one_of_goods(account: AccountState, family: str, stripe_id: str, asked: Asked) -> Json:
    prices = render_prices(account.prices, asked.shape)
    entries = prices if family == "price" else render_products(account.prices)
    found = next((each for each in entries if each["id"] == stripe_id), None)
    if found is None:
        raise missing(family, stripe_id)
    return found
