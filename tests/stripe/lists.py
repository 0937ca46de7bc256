"""Answer a request for a list: newest first, in pages, with Stripe's filters."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from heapq import merge
from itertools import islice, takewhile
from typing import Final

from ops.samples.api_shapes import Shape
from ops.samples.scenario import DAY
from ops.samples.worlds.records import FeatureList
from ops.samples.worlds.rendering import render_active_features
from tests.stripe.expansion import expanded, refuse_odd_expansions
from tests.stripe.goods import render_features, render_prices, render_products
from tests.stripe.ordering import Ordered, Place
from tests.stripe.queries import COLLECTIONS, Collection, ListQuery, read_list_query
from tests.stripe.refusals import missing
from tests.stripe.state import AccountState, Json, State, links_of, value_of

EVENTS_LAST_DAYS: Final = 30
_ENDED: Final = frozenset({"canceled", "incomplete_expired"})


@dataclass(frozen=True, kw_only=True)
class Asked:
    """The moment of a request whose state it sees, its clock, and the shape it wants.

    Without a clock, events do not grow old.
    """

    at: datetime
    now: float | None = None
    shape: Shape = Shape.NEW


def answer_list(account: AccountState, path: str, query: str, asked: Asked) -> Json:
    """Return a page of a list.

    Raises:
        StripeRefusal: Stripe would not answer it.
    """
    collection = COLLECTIONS[path]
    wanted = read_list_query(query, collection)
    refuse_odd_expansions(wanted.expand, prefix="data.")
    if path in _SHORT:
        entries = _SHORT[path](account, wanted, asked)
        return page_of(entries, wanted, url=f"/v1/{path}", size=account.page_size)
    places, more = _page(_ListWalk(account, collection, wanted, asked))
    data = [_entry(account, place.id, wanted, asked) for place in places]
    return {"object": "list", "data": data, "has_more": more, "url": f"/v1/{path}"}


def page_of(entries: list[Json], wanted: ListQuery, *, url: str, size: int) -> Json:
    """Return a page of a list that is written out, whatever its order."""
    ids = [entry["id"] for entry in entries]
    limit = min(size, wanted.limit)
    if wanted.ending_before is not None:
        end = _index(ids, wanted.ending_before, "ending_before")
        begin = max(end - limit, 0)
        return {"object": "list", "data": entries[begin:end], "has_more": begin > 0, "url": url}
    begin = 0
    if wanted.starting_after is not None:
        begin = _index(ids, wanted.starting_after, "starting_after") + 1
    page, more = entries[begin : begin + limit], begin + limit < len(entries)
    return {"object": "list", "data": page, "has_more": more, "url": url}


def _index(ids: list[str], stripe_id: str, param: str) -> int:
    if stripe_id not in ids:
        raise missing("object", stripe_id, param)
    return ids.index(stripe_id)


@dataclass(frozen=True)
class _ListWalk:
    """The way through a list from where the request wants it."""

    account: AccountState
    collection: Collection
    wanted: ListQuery
    asked: Asked

    def orders(self) -> list[Ordered]:
        family, links = self.collection.family, list(self.wanted.links.items())
        key = (family, *links[0]) if links else (family,)
        found: list[Ordered] = [self.account.orders[key]] if key in self.account.orders else []
        if family == "event":
            found += [
                source
                for source in self.account.event_sources
                if any(self.wanted.wants_type(each) for each in source.types())
            ]
        return found

    def cursor(self, name: str, stripe_id: str | None) -> Place | None:
        if stripe_id is None:
            return None
        family = self.collection.family
        everything: list[Ordered] = list(self.account.event_sources) if family == "event" else []
        if (family,) in self.account.orders:
            everything.append(self.account.orders[(family,)])
        places = [place for each in everything if (place := each.place_of(stripe_id))]
        if not places:
            raise missing(family, stripe_id, name)
        return places[0]

    @property
    def oldest(self) -> int:
        kept = self.wanted.oldest
        if self.collection.family == "event" and self.asked.now is not None:
            kept = max(kept, int(self.asked.now) - EVENTS_LAST_DAYS * DAY)
        return kept

    def newest_first(self) -> Iterator[Place]:
        bounds = []
        if after := self.cursor("starting_after", self.wanted.starting_after):
            bounds.append(after)
        if self.wanted.newest is not None:
            bounds.append(Place(self.wanted.newest + 1, -1, ""))
        begins = min(bounds, default=None)
        ways = [order.before(begins) for order in self.orders()]
        oldest = self.oldest
        found = takewhile(lambda place: place.created >= oldest, merge(*ways, reverse=True))
        return filter(self.wants, found)

    def oldest_first(self, before: Place) -> Iterator[Place]:
        begins = max(before, Place(self.oldest, -1, ""))
        ways = [order.after(begins) for order in self.orders()]
        newest = self.wanted.newest
        found = takewhile(lambda place: newest is None or place.created <= newest, merge(*ways))
        return filter(self.wants, found)

    def wants(self, place: Place) -> bool:
        if self.collection.family == "event":
            return self._wants_event(place.id)
        state = self.account.state_of(place.id, self.asked.at)
        if state is None or value_of(state, "deleted") is True:
            return False
        return self._wants_status(state) and self._wants_fields(state)

    def _wants_event(self, event_id: str) -> bool:
        wanted = self.wanted.one("delivery_success")
        if wanted is not None and (event_id not in self.account.undelivered) != (wanted == "true"):
            return False
        state = self.account.state_of(event_id, self.asked.at)
        if state is not None:
            return self.wanted.wants_type(str(value_of(state, "type")))
        sources = [each for each in self.account.event_sources if each.place_of(event_id)]
        return any(self.wanted.wants_type(each.type_of(event_id)) for each in sources)

    def _wants_status(self, state: State) -> bool:
        status, wanted = value_of(state, "status"), self.wanted.one("status")
        if self.collection.family != "subscription":
            return wanted is None or status == wanted
        match wanted:
            case None:
                return status != "canceled"
            case "all":
                return True
            case "ended":
                return status in _ENDED
            case _:
                return status == wanted

    def _wants_fields(self, state: State) -> bool:
        email = self.wanted.one("email")
        if email is not None and value_of(state, "email") != email:
            return False
        return self.wanted.links.items() <= dict(links_of(state)).items()


def _page(walk: _ListWalk) -> tuple[list[Place], bool]:
    limit = min(walk.account.page_size, walk.wanted.limit)
    before = walk.cursor("ending_before", walk.wanted.ending_before)
    found = list(
        islice(walk.newest_first() if before is None else walk.oldest_first(before), limit + 1)
    )
    page = found[:limit]
    return (page if before is None else page[::-1]), len(found) > limit


def _entry(account: AccountState, stripe_id: str, wanted: ListQuery, asked: Asked) -> Json | bytes:
    state = account.state_of(stripe_id, asked.at)
    if state is None:
        source = next(each for each in account.event_sources if each.place_of(stripe_id))
        return source.event(stripe_id)
    inner = [each.removeprefix("data.") for each in wanted.expand]
    return expanded(account, account.show(state, asked.shape), inner, asked.at, asked.shape)


def held_features(account: AccountState, customer: str, at: datetime) -> FeatureList:
    """Return the features of a customer at a time."""
    lists = [keys for since, keys in account.features.get(customer, ()) if since <= at]
    return FeatureList(customer=customer, keys=tuple(lists[-1] if lists else ()))


def _active_features(account: AccountState, wanted: ListQuery, asked: Asked) -> list[Json]:
    held = held_features(account, wanted.one("customer") or "", asked.at)
    return render_active_features(held, asked.shape)


def _items(account: AccountState, wanted: ListQuery, asked: Asked) -> list[Json]:
    holder = wanted.one("subscription") or ""
    if holder in account.listed:
        return account.listed[holder]
    state = account.state_of(holder, asked.at)
    if state is None:
        raise missing("subscription", holder, "subscription")
    items: list[Json] = account.show(state, asked.shape)["items"]["data"]
    return items


def _prices(account: AccountState, wanted: ListQuery, asked: Asked) -> list[Json]:
    keys, product = wanted.named.get("lookup_keys"), wanted.one("product")
    return [
        price
        for price in render_prices(account.prices, asked.shape)
        if (keys is None or price["lookup_key"] in keys)
        and product in (None, price["product"])
        and wanted.one("type") in (None, price["type"])
        and _wants_plain(wanted, price)
    ]


def _products(account: AccountState, wanted: ListQuery, _: Asked) -> list[Json]:
    ids = wanted.named.get("ids")
    return [
        product
        for product in render_products(account.prices)
        if (ids is None or product["id"] in ids) and _wants_plain(wanted, product)
    ]


def _wants_plain(wanted: ListQuery, entry: Json) -> bool:
    within = wanted.oldest <= entry["created"]
    within = within and (wanted.newest is None or entry["created"] <= wanted.newest)
    return within and wanted.one("active") in (None, str(entry["active"]).lower())


def _features(account: AccountState, wanted: ListQuery, _: Asked) -> list[Json]:
    found = render_features(account)
    key, archived = wanted.one("lookup_key"), wanted.one("archived") == "true"
    return [
        each for each in found if key in (None, each["lookup_key"]) and each["active"] != archived
    ]


_SHORT: Final[dict[str, Callable[[AccountState, ListQuery, Asked], list[Json]]]] = {
    "entitlements/active_entitlements": _active_features,
    "entitlements/features": _features,
    "prices": _prices,
    "products": _products,
    "subscription_items": _items,
}
"""Lists that are short, or in another order than that of creation."""
