"""Judge the endpoints that lead to ingest: registered, enabled, version, types, copies. Pure."""

from collections.abc import Iterable, Iterator
from typing import Final

from billing.readers.registry import HANDLED_TYPES, REQUIRED_TYPES
from ops.doctor.findings import Finding, ok, problem, warning
from ops.doctor.stripe.destinations import (
    EVERY_TYPE,
    EventDestination,
    place_of,
    without_credentials,
)
from ops.doctor.stripe.seen import ExpectedDelivery, SeenAtStripe
from ops.terminal.formats import format_count

ENDPOINT: Final = "endpoint"
VERSION: Final = "API version"
TYPES: Final = "event types"
COPIES: Final = "copies"
CONNECTED: Final = "connected accounts"
FIX: Final = "`paidup doctor --stripe --fix --reason WHY`"
_CREATE: Final = "`paidup doctor --stripe --fix --secret-file FILE --reason WHY`"
DASHBOARD: Final = "https://dashboard.stripe.com/webhooks"

HOLDS_INVOICES: Final = "invoice.created"
"""While an endpoint with this type answers no 2xx, Stripe finalises no invoice that it collects by
itself, for up to 72 hours: https://docs.stripe.com/invoicing/integration/workflow-transitions
"""

_KEPT: Final = (EVERY_TYPE, "v2.core.health.")
"""Types that are no reader's: all of them, and notices about Stripe's own failures."""

_SHOWN: Final = 5


def check_endpoints(seen: SeenAtStripe, expected: ExpectedDelivery) -> Iterator[Finding]:
    """Yield what is wrong with the endpoints that lead to ingest, or that all is well."""
    if seen.destinations is None:
        return
    ours = [each for each in seen.ours(expected) if expected.counts(each)]
    of_other_mode = [each for each in seen.ours(expected) if not expected.counts(each)]
    enabled = [each for each in ours if each.enabled]
    yield _registered(seen, expected, ours, of_other_mode)
    for each in enabled:
        yield from _check_one(each, expected)
    yield from _check_copies(enabled)
    yield from _check_connected(enabled, expected)


def wanted_types(destination: EventDestination) -> frozenset[str]:
    """Return the types that an endpoint should have: those needed, and others it has of use."""
    useful = destination.types & HANDLED_TYPES
    return frozenset(REQUIRED_TYPES) | (useful - {HOLDS_INVOICES})


def _registered(
    seen: SeenAtStripe,
    expected: ExpectedDelivery,
    ours: list[EventDestination],
    of_other_mode: list[EventDestination],
) -> Finding:
    where = expected.url or f"the path {expected.path}"
    if not ours and of_other_mode:
        mode, other = ("live", "test") if expected.livemode == "live" else ("test", "live")
        says = f"the endpoint of {where} is of {other} mode, and PAIDUP_LIVEMODE is {mode}"
        return problem(ENDPOINT, f"{says}: no event that counts comes; create one in {mode} mode")
    if not ours:
        others = _others(seen)
        first = "" if expected.url else "set PAIDUP_PUBLIC_URL, then "
        return problem(
            ENDPOINT,
            f"no endpoint leads to {where}, so Stripe sends no event{others}: {first}create one by"
            f" {_CREATE} or at {DASHBOARD}",
        )
    named = ", ".join(each.id for each in ours)
    if not any(each.enabled for each in ours):
        says = f"{named} is disabled, so Stripe sends no event"
        return problem(ENDPOINT, f"{says}: enable it by {FIX}, then run `paidup reconcile`")
    if seen.is_ambiguous(expected):
        says = f"{named} have the path {expected.path} at different places, and one of them is ours"
        return warning(
            ENDPOINT, f"{says}: set PAIDUP_PUBLIC_URL to say which; --fix changes none until then"
        )
    if expected.url is None:
        says = f"{named} is taken for ours because of its path"
        return warning(ENDPOINT, f"{says}: set PAIDUP_PUBLIC_URL to be sure")
    live = " and ".join(sorted({"live" if each.livemode else "test" for each in ours}))
    return ok(ENDPOINT, f"{named} leads to {where}, enabled, {live} mode")


def _others(seen: SeenAtStripe) -> str:
    urls = [without_credentials(each.url) for each in seen.destinations or () if each.url]
    if not urls:
        return ", and there is no other endpoint"
    more = f" and {len(urls) - _SHOWN} more" if len(urls) > _SHOWN else ""
    return f"; there are {', '.join(urls[:_SHOWN])}{more}"


def _check_one(endpoint: EventDestination, expected: ExpectedDelivery) -> Iterator[Finding]:
    yield _version(endpoint, expected)
    yield from _types(endpoint)


def _version(endpoint: EventDestination, expected: ExpectedDelivery) -> Finding:
    if endpoint.thin:
        return ok(VERSION, f"{endpoint.id} sends thin events, which are read by {expected.version}")
    version = endpoint.version
    if version is None:
        says = f"{endpoint.id} sends events in the account's own version"
        return ok(VERSION, f"{says}, which changes when the account is upgraded; all are read")
    if version[:10] > expected.version[:10]:
        says = f"{endpoint.id} sends events of {version}, newer than {expected.version}"
        return warning(
            VERSION, f"{says}, with which this release was tested: look for a newer release"
        )
    return ok(VERSION, f"{endpoint.id} sends events of {version}, which is read")


def _types(endpoint: EventDestination) -> Iterator[Finding]:
    named = _bare(endpoint)
    if EVERY_TYPE in named:
        says = (
            f"{endpoint.id} receives every type (*), and {len(REQUIRED_TYPES)} of them are needed"
        )
        yield warning(TYPES, f"{says}: the others cost deliveries; {FIX} names those alone")
    missing = [] if EVERY_TYPE in named else [each for each in REQUIRED_TYPES if each not in named]
    if missing:
        lost = "; ".join(f"{each}: {REQUIRED_TYPES[each]}" for each in missing[:_SHOWN])
        more = f"; and {', '.join(missing[_SHOWN:])}" if missing[_SHOWN:] else ""
        count = format_count(len(missing), "type")
        yield problem(TYPES, f"{endpoint.id} lacks {count} ({lost}{more}): add them by {FIX}")
    if unread := sorted(each for each in named - HANDLED_TYPES if not each.startswith(_KEPT)):
        more = f" and {len(unread) - _SHOWN} more" if len(unread) > _SHOWN else ""
        listed = f"{', '.join(unread[:_SHOWN])}{more}"
        says = f"{endpoint.id} has types that Paidup does not read ({listed})"
        yield warning(TYPES, f"{says}: they cost deliveries; {FIX} removes them")
    elif not missing and EVERY_TYPE not in named:
        yield ok(TYPES, f"{endpoint.id} has every type that is needed, and no other that is unread")


def _bare(endpoint: EventDestination) -> frozenset[str]:
    """Return the types without the prefix that thin events of the first API have."""
    return frozenset(each.removeprefix("v1.") for each in endpoint.types)


def _check_copies(enabled: list[EventDestination]) -> Iterator[Finding]:
    places: dict[object, list[EventDestination]] = {}
    for each in enabled:
        places.setdefault((place_of(each.url or ""), each.connected), []).append(each)
    for alike in places.values():
        if len(alike) > 1:
            named = ", ".join(each.id for each in alike)
            thin = any(each.thin for each in alike) and not all(each.thin for each in alike)
            again = "once whole and once thin" if thin else f"{len(alike)} times"
            yield warning(
                COPIES,
                f"{named} lead to one URL, so each event comes {again} and each needs its own"
                f" secret: nothing is applied twice, but disable all but one at {DASHBOARD}",
            )


def _check_connected(
    enabled: Iterable[EventDestination], expected: ExpectedDelivery
) -> Iterator[Finding]:
    connected = [each for each in enabled if each.connected]
    accounts = ", ".join(sorted(expected.accounts))
    if accounts and not connected:
        says = f"no enabled endpoint gets events of connected accounts, and {accounts} are listed"
        todo = f"create one for connected accounts at {DASHBOARD}"
        yield problem(CONNECTED, f"{says} in PAIDUP_CONNECT_ACCOUNTS: {todo}")
    elif connected and not accounts:
        named = ", ".join(each.id for each in connected)
        says = f"{named} gets events of connected accounts, none of which counts"
        yield warning(CONNECTED, f"{says}: list them in PAIDUP_CONNECT_ACCOUNTS, or disable it")
    elif connected:
        yield ok(CONNECTED, f"{connected[0].id} gets events of connected accounts: {accounts}")
