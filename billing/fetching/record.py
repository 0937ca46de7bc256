"""The requests to Stripe's API for one event and their responses, as one document.

The document is stored beside the payload, and every later reading of the event uses it. A replay
therefore gives the same result as the first reading, even if Stripe would answer differently by
then.

The time of a response is the ``Date`` that Stripe sent. The response shows the object at that time,
not at the time of the event. Only Stripe's clock can be compared with the times of other events;
the local clock may be wrong.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from billing.envelope import parse_object

GONE = 404
VERSION = 1


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
    """One response: ``status`` is 200 or 404, ``at`` is its ``Date``."""

    request: str
    status: int
    at: datetime
    body: Mapping[str, Any] = field(repr=False)


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

    def as_text(self) -> str:
        """Return the document to store. It is ASCII for any response."""
        document = {
            "v": VERSION,
            "wanted": [_target_to_json(each) for each in self.targets],
            "answers": [_response_to_json(response) for response in self.responses],
        }
        return json.dumps(document, separators=(",", ":"))

    @classmethod
    def from_text(cls, text: str) -> "FetchRecord":
        """Return the record of a document that ``as_text`` wrote."""
        document = json.loads(text)
        return cls(
            targets=tuple(read_target(each) for each in document["wanted"]),
            responses=tuple(_response_from_json(each) for each in document["answers"]),
        )


def merge_targets(first: FetchPlan, second: FetchPlan) -> FetchPlan:
    """Return every object of both plans once, with the later of two ``later_than``."""
    found: dict[tuple[str, str], FetchTarget] = {}
    for each in (*first, *second):
        known = found.get(each.name)
        if known is None or _moment(known) < _moment(each):
            found[each.name] = each
    return tuple(found.values())


def read_response(request: str, status: int, at: datetime, body: str) -> ApiResponse:
    """Return a response whose body is parsed as an event's is, within the same bounds.

    Raises:
        MalformedEvent: the body is no JSON object that can be stored.
    """
    return ApiResponse(request=request, status=status, at=at, body=parse_object(body.encode()))


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


def _response_to_json(response: ApiResponse) -> dict[str, Any]:
    return {
        "request": response.request,
        "status": response.status,
        "at": response.at.isoformat(),
        "body": response.body,
    }


def _response_from_json(document: Mapping[str, Any]) -> ApiResponse:
    return ApiResponse(
        request=document["request"],
        status=document["status"],
        at=datetime.fromisoformat(document["at"]),
        body=document["body"],
    )


_NEVER = datetime.min.replace(tzinfo=UTC)


def _moment(targets: FetchTarget) -> datetime:
    return targets.later_than or _NEVER
