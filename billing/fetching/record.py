"""The requests to Stripe's API for one event and their responses, while they are being made.

What came of them is kept as API observations, so a replay reads the same, even if Stripe would
answer differently by then.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from billing.envelope import decode_json, parse_object

GONE = 404


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchTarget:
    """A Stripe object to fetch.

    ``family`` is Stripe's name of its kind. ``later_than`` is the second of the newest fact about
    it: a response of that same second would be ambiguous.
    """

    family: str
    stripe_id: str
    later_than: datetime | None = None

    @property
    def name(self) -> tuple[str, str]:
        """The identity of the object, independent of the reason to fetch it."""
        return (self.family, self.stripe_id)


FetchPlan = tuple[FetchTarget, ...]
"""The objects to fetch for one event; empty if the event needs none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiResponse:
    """One response: ``status`` is 200 or 404, ``at`` the second before the request was sent.

    ``at`` is by Stripe's clock: only that can be compared with the times of events. ``text`` is
    the body exactly as it came.
    """

    request: str
    status: int
    at: datetime
    api_version: str | None
    text: str = field(repr=False)
    body: Mapping[str, Any] = field(repr=False)

    @property
    def gone(self) -> bool:
        """True if the object does not exist."""
        return self.status == GONE


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchRecord:
    """Every object to fetch for one event, and every response.

    A record without targets and responses means that the API had nothing to add.
    """

    targets: FetchPlan
    responses: tuple[ApiResponse, ...] = ()

    def response_to(self, request: str) -> ApiResponse | None:
        """Return the response to a request, or None if it was not made."""
        return next((response for response in self.responses if response.request == request), None)

    def with_response(self, response: ApiResponse) -> "FetchRecord":
        """Return a copy with one more response."""
        return FetchRecord(targets=self.targets, responses=(*self.responses, response))


def read_response(
    request: str,
    status: int,
    at: datetime,
    text: str,
    api_version: str | None = None,
    *,
    decode: Callable[[bytes], Any] = decode_json,
) -> ApiResponse:
    """Return a response whose body is parsed as an event's is, within the same bounds.

    ``decode`` parses JSON and raises what ``decode_json`` raises.

    Raises:
        MalformedEvent: the body is no JSON object that can be stored.
    """
    return ApiResponse(
        request=request,
        status=status,
        at=at.replace(microsecond=0),
        api_version=api_version,
        text=text,
        body=parse_object(text.encode(), decode),
    )


def targets_to_text(targets: FetchPlan) -> str:
    """Return the open targets as text, for the row that waits for them."""
    return json.dumps([_target_to_json(each) for each in targets], separators=(",", ":"))


def targets_from_text(text: str) -> FetchPlan:
    """Return the targets of a text that ``targets_to_text`` wrote."""
    return tuple(read_target(each) for each in json.loads(text))


def read_target(document: Mapping[str, Any]) -> FetchTarget:
    """Return the target of a JSON document."""
    later_than = document.get("later_than")
    return FetchTarget(
        family=document["family"],
        stripe_id=document["id"],
        later_than=datetime.fromisoformat(later_than) if later_than else None,
    )


def _target_to_json(target: FetchTarget) -> dict[str, Any]:
    document = {"family": target.family, "id": target.stripe_id}
    if target.later_than:
        document["later_than"] = target.later_than.isoformat()
    return document
