"""Read where Stripe delivers events: webhook endpoints, and destinations of its second API. Pure.

The second API lists the webhook endpoints of both, those of the first one under the same id.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import SplitResult, urlsplit

EVERY_TYPE: Final = "*"
_ACCOUNTS: Final = "@accounts"
_PORTS: Final = {"https": 443, "http": 80}


@dataclass(frozen=True, slots=True, kw_only=True)
class EventDestination:
    """One place to which Stripe delivers; ``url`` is None if it is no webhook endpoint.

    ``version`` is the API version of its events, None for the account's own. ``connected`` is true
    if it gets the events of connected accounts. ``editable`` is true if the first API lists it.
    """

    id: str
    url: str | None
    enabled: bool
    livemode: bool
    types: frozenset[str]
    version: str | None
    connected: bool
    thin: bool
    editable: bool

    def has(self, event_type: str) -> bool:
        """Return True if events of this type are delivered to it."""
        return not self.types.isdisjoint({event_type, EVERY_TYPE})


def read_endpoint(raw: Mapping[str, Any]) -> EventDestination:
    """Return a webhook endpoint of the first API.

    One that was created for connected accounts names an application.
    """
    return EventDestination(
        id=str(raw.get("id")),
        url=_text(raw.get("url")),
        enabled=raw.get("status") == "enabled",
        livemode=bool(raw.get("livemode")),
        types=_types(raw),
        version=_text(raw.get("api_version")),
        connected=bool(raw.get("application")),
        thin=False,
        editable=True,
    )


def read_destination(raw: Mapping[str, Any]) -> EventDestination:
    """Return an event destination of the second API."""
    endpoint = raw.get("webhook_endpoint")
    url = endpoint.get("url") if isinstance(endpoint, Mapping) else None
    sources = raw.get("events_from")
    return EventDestination(
        id=str(raw.get("id")),
        url=_text(url),
        enabled=raw.get("status") == "enabled",
        livemode=bool(raw.get("livemode")),
        types=_types(raw),
        version=_text(raw.get("snapshot_api_version")),
        connected=any(str(each).endswith(_ACCOUNTS) for each in sources or ()),
        thin=raw.get("event_payload") == "thin",
        editable=False,
    )


def merge_destinations(
    endpoints: Iterable[EventDestination], destinations: Iterable[EventDestination]
) -> tuple[EventDestination, ...]:
    """Return each destination once; what the first API says of one comes first."""
    known = {each.id: each for each in destinations}
    return tuple({**known, **{each.id: each for each in endpoints}}.values())


def same_url(one: str | None, other: str | None) -> bool:
    """Return True if two URLs lead to one place: case and a slash at the end may differ."""
    return one is not None and other is not None and place_of(one) == place_of(other)


def path_of(url: str | None) -> str:
    """Return the path of a URL without the slash at its end."""
    return _split(url or "").path.rstrip("/")


def without_credentials(url: str) -> str:
    """Return a URL without what may be a secret in it: its user, password and query."""
    parts = _split(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment="").geturl()


def place_of(url: str) -> tuple[str, str | None, int | None, str, str]:
    """Return what is the same in all URLs that lead to one place."""
    parts = _split(url)
    try:
        port = parts.port
    except ValueError:
        port = None
    return (
        parts.scheme,
        parts.hostname,
        port or _PORTS.get(parts.scheme),
        parts.path.rstrip("/"),
        parts.query,
    )


def _split(url: str) -> SplitResult:
    """Return the parts of a URL; of a text that is none, all of it is the path."""
    try:
        return urlsplit(url.strip())
    except ValueError:
        return SplitResult(scheme="", netloc="", path=url, query="", fragment="")


def _types(raw: Mapping[str, Any]) -> frozenset[str]:
    return frozenset(each for each in raw.get("enabled_events") or () if isinstance(each, str))


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None
