"""Plan the changes that make our endpoint at Stripe right, each shown before it is made. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from billing.readers.registry import REQUIRED_TYPES
from ops.doctor.stripe.check_endpoint import wanted_types
from ops.doctor.stripe.destinations import EVERY_TYPE, EventDestination, path_of
from ops.doctor.stripe.seen import ExpectedDelivery, SeenAtStripe
from ops.terminal.formats import format_count

_ENDPOINTS: Final = "/v1/webhook_endpoints"
_NEW: Final = "new"
_DESCRIPTION: Final = "Paidup"


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointChange:
    """One POST to Stripe: what it sends, and what it does in words."""

    endpoint: str
    """The id of the endpoint, ``new`` if it is created."""
    path: str
    form: Mapping[str, Any]
    says: str

    @property
    def creates(self) -> bool:
        """True if Stripe answers with a new signing secret."""
        return self.endpoint == _NEW


def plan_fixes(seen: SeenAtStripe, expected: ExpectedDelivery) -> tuple[EndpointChange, ...]:
    """Return the changes; none if all is well, or if the key may not read the endpoints.

    An endpoint that only the second API lists is left to its page at Stripe. One of the other mode
    cannot be changed with this key. Which one is ours must be known: another one of the same path
    may be that of another deployment.
    """
    if seen.destinations is None or seen.is_ambiguous(expected):
        return ()
    ours = [each for each in seen.ours(expected) if expected.counts(each)]
    if not ours:
        return (_creation(expected.url, expected),) if expected.url else ()
    editable = [each for each in ours if each.editable]
    enabled = [each for each in editable if each.enabled]
    idle = not any(each.enabled for each in ours)
    return tuple(
        change
        for each in (editable[:1] if idle else enabled)
        for change in _changes(each, enable=idle)
    )


def _creation(url: str, expected: ExpectedDelivery) -> EndpointChange:
    form = {
        "url": url,
        "enabled_events": sorted(REQUIRED_TYPES),
        "api_version": expected.version,
        "description": _DESCRIPTION,
    }
    count = format_count(len(REQUIRED_TYPES), "event type")
    says = f"create an endpoint for {url} with {count}, of API version {expected.version}"
    if path_of(url) != expected.path.rstrip("/"):
        says += f"; ingest listens on {expected.path}: something in front has to change the path"
    return EndpointChange(endpoint=_NEW, path=_ENDPOINTS, form=form, says=says)


def _changes(endpoint: EventDestination, *, enable: bool) -> Iterator[EndpointChange]:
    path = f"{_ENDPOINTS}/{endpoint.id}"
    wanted = wanted_types(endpoint)
    if wanted != endpoint.types:
        yield EndpointChange(
            endpoint=endpoint.id,
            path=path,
            form={"enabled_events": sorted(wanted)},
            says=f"change the event types of {endpoint.id}: {_difference(endpoint, wanted)}",
        )
    if enable:
        says = f"enable {endpoint.id}"
        yield EndpointChange(endpoint=endpoint.id, path=path, form={"disabled": "false"}, says=says)


def _difference(endpoint: EventDestination, wanted: frozenset[str]) -> str:
    if EVERY_TYPE in endpoint.types:
        return f"name {format_count(len(wanted), 'type')} instead of every type (*)"
    parts = {"add": sorted(wanted - endpoint.types), "remove": sorted(endpoint.types - wanted)}
    return "; ".join(f"{verb} {', '.join(types)}" for verb, types in parts.items() if types)
