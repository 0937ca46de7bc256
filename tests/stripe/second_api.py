"""Answer requests of the second API: thin events, and the destinations of events."""

import json
from collections.abc import Iterator, Mapping
from datetime import datetime
from itertools import islice
from typing import Any, Final
from urllib.parse import quote, urlsplit

from tests.stripe.queries import BOUNDS, MAX_LIMIT, MAX_TYPES, read_pairs
from tests.stripe.refusals import (
    StripeRefusal,
    bad_parameter,
    missing_parameter,
    unknown_parameter,
    unknown_url,
)
from tests.stripe.state import AccountState, Json, moment

EVENTS: Final = "/v2/core/events"
DESTINATIONS: Final = "/v2/core/event_destinations"
_DEFAULT_LIMIT: Final = 20
_THIN: Final = "thin"
_FIELDS: Final = frozenset(
    {
        "description",
        "enabled_events",
        "event_payload",
        "events_from",
        "include",
        "metadata",
        "name",
        "snapshot_api_version",
        "type",
        "webhook_endpoint",
    }
)
_REQUIRED: Final = ("enabled_events", "event_payload", "name", "type")


def answer_second(account: AccountState, method: str, request: str, body: str, now: float) -> Json:
    """Return the body of the answer to a request below ``/v2``.

    Raises:
        StripeRefusal: Stripe would not answer it.
    """
    parts = urlsplit(request)
    path, _, rest = parts.path.partition(f"{EVENTS}/")
    if method == "GET" and rest:
        return _event(account, rest)
    if method == "GET" and path == EVENTS:
        return _list_events(account, parts.query)
    if path == DESTINATIONS or path.startswith(f"{DESTINATIONS}/"):
        below = path.removeprefix(DESTINATIONS).strip("/")
        return _answer_destinations(account, method, below, body, now)
    raise unknown_url(method, parts.path)


def _event(account: AccountState, event_id: str) -> Json:
    if event_id in account.thin:
        return account.thin[event_id]
    snapshot = event_id.removesuffix(_THIN)
    for source in account.event_sources:
        if snapshot != event_id and source.place_of(snapshot):
            return _thin_event(account, snapshot)
    raise StripeRefusal(404, f"Event {event_id} not found.", code="not_found")


def _thin_event(account: AccountState, snapshot: str) -> Json:
    source = next(each for each in account.event_sources if each.place_of(snapshot))
    place, (family, object_id) = source.place_of(snapshot), source.subject_of(snapshot)
    created = moment(place.created if place else 0)
    return {
        "id": f"{snapshot}{_THIN}",
        "object": "v2.core.event",
        "context": None,
        "created": _text(created),
        "livemode": account.livemode,
        "reason": None,
        "related_object": {"id": object_id, "type": family, "url": f"/v1/{object_id}"},
        "snapshot_event": snapshot,
        "type": f"v1.{source.type_of(snapshot)}",
    }


def _list_events(account: AccountState, query: str) -> Json:
    wanted: dict[str, Any] = {"types": [], "created": {}, "limit": _DEFAULT_LIMIT, "page": "0"}
    for name, inner, value in read_pairs(query):
        if name == "types":
            wanted["types"].append(value)
        elif name == "created" and inner in BOUNDS:
            wanted["created"][inner] = value
        elif name in ("object_id", "limit", "page") and inner is None:
            wanted[name] = value
        else:
            raise unknown_parameter(name)
    limit = int(wanted["limit"])
    if len(wanted["types"]) > MAX_TYPES:
        raise bad_parameter("types", f"At most {MAX_TYPES} types may be passed")
    if not 1 <= limit <= MAX_LIMIT:
        raise bad_parameter("limit", f"limit must be between 1 and {MAX_LIMIT}")
    begins = int(wanted["page"])
    found = list(islice(_newest_events(account, wanted), begins, begins + limit + 1))
    more = f"{EVENTS}?{_repeated(wanted, limit)}page={begins + limit}"
    return {
        "data": found[:limit],
        "next_page_url": more if len(found) > limit else None,
        "previous_page_url": None,
    }


def _repeated(wanted: Mapping[str, Any], limit: int) -> str:
    named = [f"types[]={quote(each)}" for each in wanted["types"]]
    named += [f"created[{name}]={quote(value)}" for name, value in wanted["created"].items()]
    named += [f"object_id={quote(wanted['object_id'])}"] if "object_id" in wanted else []
    return "".join(f"{each}&" for each in [*named, f"limit={limit}"])


def _newest_events(account: AccountState, wanted: Mapping[str, Any]) -> Iterator[Json]:
    learned = sorted(account.thin.values(), key=lambda each: str(each["created"]), reverse=True)
    for event in learned:
        related = event.get("related_object") or {}
        if _wants(
            wanted, event["type"], related.get("id"), datetime.fromisoformat(event["created"])
        ):
            yield event
    for source in account.event_sources:
        for place in source.before(None):
            event_type, (_, object_id) = (
                f"v1.{source.type_of(place.id)}",
                source.subject_of(place.id),
            )
            if _wants(wanted, event_type, object_id, moment(place.created)):
                yield _thin_event(account, place.id)


def _wants(
    wanted: Mapping[str, Any], event_type: str, object_id: str | None, created: datetime
) -> bool:
    bounds = {name: datetime.fromisoformat(value) for name, value in wanted["created"].items()}
    return (
        (not wanted["types"] or event_type in wanted["types"])
        and wanted.get("object_id") in (None, object_id)
        and not ("gt" in bounds and created <= bounds["gt"])
        and not ("gte" in bounds and created < bounds["gte"])
        and not ("lt" in bounds and created >= bounds["lt"])
        and not ("lte" in bounds and created > bounds["lte"])
    )


def _answer_destinations(
    account: AccountState, method: str, below: str, body: str, now: float
) -> Json:
    destination_id, _, verb = below.partition("/")
    if not below:
        if method == "POST":
            return _make_destination(account, _read_body(body), now)
        data = list(account.destinations.values())[::-1]
        return {"data": data, "next_page_url": None, "previous_page_url": None}
    known = account.destinations.get(destination_id)
    if known is None:
        raise StripeRefusal(404, f"Event destination {destination_id} not found.", code="not_found")
    match (method, verb):
        case ("GET", ""):
            return known
        case ("DELETE", ""):
            del account.destinations[destination_id]
            return {"id": destination_id, "object": known["object"], "deleted": True}
        case ("POST", ""):
            known |= _read_body(body)
        case ("POST", "enable" | "disable"):
            known["status"] = f"{verb}d"
        case _:
            raise unknown_url(method, f"{DESTINATIONS}/{below}")
    return known


def _read_body(body: str) -> Json:
    stated: Json = json.loads(body or "{}")
    for name in stated:
        if name not in _FIELDS:
            raise unknown_parameter(name)
    return stated


def _make_destination(account: AccountState, stated: Json, now: float) -> Json:
    for name in _REQUIRED:
        if name not in stated:
            raise missing_parameter(name)
    stated.pop("include", None)
    made = {
        "id": f"ed_test_{len(account.destinations)}",
        "object": "v2.core.event_destination",
        "created": _text(moment(now)),
        "description": "",
        "events_from": ["@self"],
        "livemode": account.livemode,
        "metadata": {},
        "snapshot_api_version": None,
        "status": "enabled",
        "status_details": None,
        "updated": _text(moment(now)),
        **stated,
    }
    account.destinations[made["id"]] = made
    return made


def _text(at: datetime) -> str:
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
