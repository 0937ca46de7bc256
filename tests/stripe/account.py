"""A fake Stripe account: its API's responses at any time, and the thin events it sends.

It learns from snapshot events and remembers each object's states with their times. So a test can
ask for the past, the present, or a time between two events of one second.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import unquote, urlsplit

from billing.fetching.observations import Observations
from billing.fetching.plan import next_request, observations_in
from billing.fetching.record import FetchRecord, FetchTarget, read_response
from tests.stripe.endpoints import PATH as ENDPOINTS
from tests.stripe.endpoints import remove_endpoint, write_endpoint
from tests.stripe.lists import Asked
from tests.stripe.refusals import StripeRefusal, unknown_url
from tests.stripe.retrieval import answer_get
from tests.stripe.second_api import answer_second
from tests.stripe.state import FOREVER, SUMMARY, AccountState, Json, moment


@dataclass
class FakeStripeAccount(AccountState):
    """An account that answers requests and sends events."""

    def answer(self, request: str, at: datetime = FOREVER) -> tuple[int, Json]:
        """Return status and body of the response to a GET at that time."""
        try:
            answered = self.respond(request, Asked(at=at))
        except StripeRefusal as refusal:
            return refusal.status, refusal.body
        return 200, answered

    def respond(self, request: str, asked: Asked) -> Json:
        """Return the body of the answer to a GET; an entry of a list may be JSON already.

        Raises:
            StripeRefusal: Stripe would not answer it.
        """
        parts = urlsplit(request)
        version, _, path = parts.path.lstrip("/").partition("/")
        if version == "v2":
            return answer_second(self, "GET", unquote(request), "", asked.now or 0)
        return answer_get(self, path, parts.query, asked)

    def write(self, method: str, request: str, form: str, now: float) -> Json:
        """Obey a POST or DELETE, and return the body of the answer.

        Raises:
            StripeRefusal: Stripe would not obey it.
        """
        path = urlsplit(request).path
        if path.startswith("/v2/"):
            return answer_second(self, method, request, form, now)
        if path == ENDPOINTS or path.startswith(f"{ENDPOINTS}/"):
            if method == "POST":
                return write_endpoint(self, path, form, now)
            return remove_endpoint(self, path)
        raise unknown_url(method, path)

    def thin_event(self, payload: Json, **given: Any) -> Json:
        """Return the thin event that Stripe sends beside a snapshot event, or instead of it."""
        stated = payload["data"]["object"]
        event: Json = {
            "id": f"{payload['id']}thin",
            "object": "v2.core.event",
            "type": f"v1.{payload['type']}",
            "created": moment(payload["created"]).isoformat().replace("+00:00", ".250Z"),
            "livemode": payload["livemode"],
            "context": None,
        }
        if stated["object"] != SUMMARY:
            related = {"id": stated["id"], "type": stated["object"], "url": "/v1/elsewhere"}
            event["related_object"] = related
        event |= given
        self.thin[event["id"]] = {**event, "snapshot_event": payload["id"]}
        return event

    def fetch(
        self, *wanted: FetchTarget, at: datetime, sees: datetime | None = None
    ) -> Observations:
        """Return what the API shows of the targets; ``sees`` is the time whose state it shows."""
        return observations_in(self.ask(*wanted, at=at, sees=sees))

    def ask(self, *wanted: FetchTarget, at: datetime, sees: datetime | None = None) -> FetchRecord:
        """Return the requests and responses that the targets take, all sent at a time."""
        fetched = FetchRecord(targets=wanted)
        while (request := next_request(fetched)) is not None:
            status, body = self.answer(request, at if sees is None else sees)
            fetched = fetched.with_response(read_response(request, status, at, json.dumps(body)))
        return fetched


def account_of(payloads: Iterable[Json]) -> FakeStripeAccount:
    """Return an account that has learned from these events."""
    account = FakeStripeAccount()
    for payload in payloads:
        account.learn(payload)
    return account


def encoded_answer(answered: Json) -> bytes:
    """Return the JSON of an answer, whose entries may be JSON already."""
    entries = answered.get("data")
    if not isinstance(entries, list) or not any(isinstance(each, bytes) for each in entries):
        return json.dumps(answered).encode()
    texts = [each if isinstance(each, bytes) else json.dumps(each).encode() for each in entries]
    rest = json.dumps({name: value for name, value in answered.items() if name != "data"})
    return b'{"data": [' + b",".join(texts) + b"], " + rest[1:].encode()
