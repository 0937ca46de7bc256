"""Ask Stripe what the checks need: some twenty requests, each within the budget of all of ours."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, Final, Protocol, TypeVar
from urllib.parse import quote, urlsplit

from billing.fetching.record import ApiResponse
from ops.doctor.stripe.destinations import (
    EventDestination,
    merge_destinations,
    read_destination,
    read_endpoint,
)
from ops.doctor.stripe.rights import NEEDED
from ops.doctor.stripe.seen import SeenAtStripe, UndeliveredEvents
from runtime.stripe_api.accounts import ApiAccount
from runtime.stripe_api.errors import ApiFailure, ApiForbidden, ApiRefused

_PAGE: Final = 100
_PAGES: Final = 5
"""Pages of undelivered events that are read: more of them are counted as more."""

_ENDPOINTS: Final = f"/v1/webhook_endpoints?limit={_PAGE}"
_DESTINATIONS: Final = f"/v2/core/event_destinations?limit={_PAGE}&include[0]=webhook_endpoint.url"
_UNDELIVERED: Final = f"/v1/events?delivery_success=false&limit={_PAGE}"

T = TypeVar("T")


class AskStripe(Protocol):
    """Send requests in an account."""

    def ask(self, request: str, account: ApiAccount) -> ApiResponse:
        """Return the answer to a GET; raises ``ApiFailure``."""
        ...

    def send(self, path: str, form: Mapping[str, Any], account: ApiAccount) -> ApiResponse:
        """Return the answer to a POST; raises ``ApiFailure``."""
        ...


class StripeReader:
    """One account at Stripe; its methods raise ``ApiFailure`` where nothing else is said."""

    def __init__(self, api: AskStripe, account: ApiAccount) -> None:
        self._api = api
        self._account = account

    def now(self) -> datetime:
        """Return Stripe's time, to the second, by the first list that the key may read."""
        *others, last = NEEDED
        for path in others:
            with suppress(ApiForbidden):
                return self._ask(f"{path}?limit=1").at
        return self._ask(f"{last}?limit=1").at

    def try_rights(self) -> dict[str, ApiFailure | None]:
        """Return the failure of each list that Paidup asks for, None where it is answered."""
        return {path: self._failure_of(f"{path}?limit=1") for path in NEEDED}

    def look(self) -> SeenAtStripe:
        """Return the endpoints and the undelivered events; None where the key may not read."""
        undelivered = _unless_forbidden(self._undelivered)
        return SeenAtStripe(
            destinations=_unless_forbidden(self._destinations),
            undelivered=_summed(undelivered[0], more=undelivered[1]) if undelivered else None,
            undelivered_read=undelivered is not None,
            now=datetime.now(UTC),
        )

    def _failure_of(self, request: str) -> ApiFailure | None:
        try:
            self._ask(request)
        except ApiFailure as failure:
            return failure
        return None

    def _destinations(self) -> tuple[EventDestination, ...]:
        endpoints = [read_endpoint(each) for each in self._listed(_ENDPOINTS)]
        return merge_destinations(endpoints, map(read_destination, self._of_second_api()))

    def _of_second_api(self) -> list[Mapping[str, Any]]:
        """Return the destinations; none where the key or the account knows no second API."""
        found: list[Mapping[str, Any]] = []
        request: str | None = _DESTINATIONS
        try:
            while request is not None:
                body = self._ask(request).body
                found += _entries(body)
                # A page names the next one by its whole URL.
                following = body.get("next_page_url")
                request = _without_host(following) if isinstance(following, str) else None
        except (ApiForbidden, ApiRefused):
            return []
        return found

    def _listed(self, request: str) -> Iterator[Mapping[str, Any]]:
        after = ""
        while True:
            body = self._ask(f"{request}{after}").body
            entries = _entries(body)
            yield from entries
            if not body.get("has_more") or not entries:
                return
            after = f"&starting_after={quote(str(entries[-1].get('id')), safe='')}"

    def _undelivered(self) -> tuple[list[Mapping[str, Any]], bool]:
        found: list[Mapping[str, Any]] = []
        for event in self._listed(_UNDELIVERED):
            if len(found) == _PAGE * _PAGES:
                return found, True
            found.append(event)
        return found, False

    def _ask(self, request: str) -> ApiResponse:
        return self._api.ask(request, self._account)


def _unless_forbidden(read: Callable[[], T]) -> T | None:
    try:
        return read()
    except ApiForbidden:
        return None


def _summed(events: list[Mapping[str, Any]], *, more: bool) -> UndeliveredEvents | None:
    if not events:
        return None
    created = [each["created"] for each in events if isinstance(each.get("created"), int)]
    return UndeliveredEvents(
        types=Counter(str(each.get("type")) for each in events),
        oldest=datetime.fromtimestamp(min(created, default=0), UTC),
        more=more,
    )


def _entries(body: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    data = body.get("data")
    return [each for each in data if isinstance(each, Mapping)] if isinstance(data, list) else []


def _without_host(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.path}?{parts.query}"
