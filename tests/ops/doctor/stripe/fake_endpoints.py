"""Stripe's endpoints in memory, for tests of ``doctor --stripe`` that need no server."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from billing.fetching.record import ApiResponse
from billing.readers.registry import REQUIRED_TYPES
from ops.doctor.stripe.destinations import EventDestination
from ops.doctor.stripe.seen import ExpectedDelivery, SeenAtStripe, UndeliveredEvents
from runtime.stripe_api.accounts import ApiAccount
from runtime.stripe_api.errors import ApiFailure, ApiForbidden

URL = "https://hooks.example.com/webhooks/stripe"
VERSION = "2026-10-28.endive"
NOW = datetime(2026, 11, 30, 8, 0, tzinfo=UTC)
ALL_TYPES = frozenset(REQUIRED_TYPES)


def endpoint(stripe_id: str = "we_1", **given: Any) -> dict[str, Any]:
    """Return a webhook endpoint as the first API shows it, right in everything."""
    return {
        "id": stripe_id,
        "object": "webhook_endpoint",
        "api_version": VERSION,
        "application": None,
        "enabled_events": sorted(ALL_TYPES),
        "livemode": False,
        "status": "enabled",
        "url": URL,
        **given,
    }


def destination(stripe_id: str = "we_1", **given: Any) -> EventDestination:
    """Return a destination that is right in everything."""
    return EventDestination(
        **{
            "id": stripe_id,
            "url": URL,
            "enabled": True,
            "livemode": False,
            "types": ALL_TYPES,
            "version": VERSION,
            "connected": False,
            "thin": False,
            "editable": True,
            **given,
        }
    )


def expected(**given: Any) -> ExpectedDelivery:
    """Return what a deployment in test mode expects."""
    return ExpectedDelivery(
        **{
            "url": URL,
            "path": "/webhooks/stripe",
            "livemode": "test",
            "accounts": frozenset(),
            "version": VERSION,
            **given,
        }
    )


def seen(
    *destinations: EventDestination, undelivered: UndeliveredEvents | None = None
) -> SeenAtStripe:
    """Return what Stripe shows."""
    return SeenAtStripe(
        destinations=destinations, undelivered=undelivered, undelivered_read=True, now=NOW
    )


@dataclass
class FakeEndpoints:
    """Answers as Stripe does; ``forbidden`` are the paths that the key may not use."""

    endpoints: list[dict[str, Any]] = field(default_factory=list)
    destinations: list[dict[str, Any]] = field(default_factory=list)
    undelivered: list[dict[str, Any]] = field(default_factory=list)
    forbidden: dict[str, str] = field(default_factory=dict)
    failing: ApiFailure | None = None
    refusing: ApiFailure | None = None
    """The failure of every change."""
    clock_ahead: timedelta = timedelta()
    asked: list[str] = field(default_factory=list)
    sent: list[tuple[str, Mapping[str, Any]]] = field(default_factory=list)
    accounts: set[str | None] = field(default_factory=set)
    page: int = 100

    def ask(self, request: str, account: ApiAccount) -> ApiResponse:
        self.asked.append(request)
        self.accounts.add(account.account)
        path, query = urlsplit(request).path, dict(parse_qsl(urlsplit(request).query))
        self._refuse(path)
        return self._answer(request, self._list(path, query))

    def send(self, path: str, form: Mapping[str, Any], account: ApiAccount) -> ApiResponse:
        self.sent.append((path, form))
        self.accounts.add(account.account)
        self._refuse(path)
        if self.refusing is not None:
            raise self.refusing
        if path == "/v1/webhook_endpoints":
            made = endpoint(f"we_new{len(self.endpoints)}", **form)
            self.endpoints.append(made)
            return self._answer(path, {**made, "secret": "whsec_" + "9f" * 16})
        (changed,) = [each for each in self.endpoints if path.endswith(f"/{each['id']}")]
        if form.get("disabled") == "false":
            changed["status"] = "enabled"
        changed.update({name: value for name, value in form.items() if name != "disabled"})
        return self._answer(path, changed)

    def _refuse(self, path: str) -> None:
        if self.failing is not None:
            raise self.failing
        if path in self.forbidden:
            raise ApiForbidden(f"having the '{self.forbidden[path]}' permission would allow it")

    def _list(self, path: str, query: Mapping[str, str]) -> dict[str, Any]:
        entries = {
            "/v1/webhook_endpoints": self.endpoints,
            "/v2/core/event_destinations": self.destinations,
            "/v1/events": self.undelivered if "delivery_success" in query else [],
        }.get(path, [])
        ids = [each["id"] for each in entries]
        begin = ids.index(query["starting_after"]) + 1 if "starting_after" in query else 0
        begin = int(query.get("page", begin))
        end = begin + min(int(query["limit"]), self.page)
        body: dict[str, Any] = {"data": entries[begin:end], "has_more": end < len(entries)}
        if path.startswith("/v2") and end < len(entries):
            body["next_page_url"] = f"https://api.stripe.com{path}?page={end}&limit=100"
        return body

    def _answer(self, request: str, body: Mapping[str, Any]) -> ApiResponse:
        at = (datetime.now(UTC) + self.clock_ahead).replace(microsecond=0)
        return ApiResponse(
            request=request,
            status=200,
            at=at,
            api_version=VERSION,
            text=json.dumps(body),
            body=dict(body),
        )
