"""Walks over a list that a test holds in memory, as Stripe would answer them."""

import threading
from collections.abc import Callable, Generator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, urlsplit

from sqlalchemy import Connection, Engine

from billing.fetching.record import ApiResponse, read_response
from billing.ids import Realm
from ops.stripe_runs.lists import EVENTS
from ops.stripe_runs.pages import ListPage
from ops.stripe_runs.runs import OpenRun, RunRequest, begin
from ops.stripe_runs.walk import ListReading, Walk
from runtime.json_text import write_json
from runtime.stripe_api.accounts import ApiAccount
from runtime.stripe_api.errors import ApiFailure, ApiRefused

NOW = 1_795_302_000
OWN = ApiAccount(livemode=False)


@dataclass
class ListedEvents:
    """A list of events that may grow; ``faults`` are raised one by one before an answer."""

    objects: list[tuple[int, str]] = field(default_factory=list)
    """The second of creation and the id, oldest first."""
    now: int = NOW
    faults: list[ApiFailure] = field(default_factory=list)
    broken: Callable[[str], ApiFailure | None] = lambda _: None
    asked: list[str] = field(default_factory=list)
    closed: int = 0
    grows: Callable[["ListedEvents"], None] = lambda _: None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def ask(self, request: str, _account: ApiAccount) -> ApiResponse:
        with self._lock:
            self.asked.append(request)
            with suppress(IndexError):
                raise self.faults.pop()
            if (fault := self.broken(request)) is not None:
                raise fault
            answer = self.page(request)
            self.grows(self)
        at = datetime.fromtimestamp(self.now, UTC)
        return read_response(request, 200, at, write_json(answer))

    def close(self) -> None:
        with self._lock:
            self.closed += 1

    def read_until(self) -> int:
        """Return the newest second that was asked for."""
        ends = (parse_qs(urlsplit(request).query).get("created[lte]") for request in self.asked)
        return max(int(end[0]) for end in ends if end)

    def page(self, request: str) -> dict[str, Any]:
        query = {name: each[0] for name, each in parse_qs(urlsplit(request).query).items()}
        found = sorted(self.objects, key=lambda each: each[0], reverse=True)
        if after := query.get("starting_after"):
            ids = [name for _, name in found]
            if after not in ids:
                raise ApiRefused(f"400: No such event: {after}")
            found = found[ids.index(after) + 1 :]
        oldest, newest = int(query.get("created[gte]", 0)), query.get("created[lte]")
        wanted = [
            each for each in found if each[0] >= oldest and (not newest or each[0] <= int(newest))
        ]
        limit = int(query["limit"])
        data = [{"id": name, "object": "event", "created": at} for at, name in wanted[:limit]]
        return {"object": "list", "data": data, "has_more": len(wanted) > limit}


def even(number: int, *, span: int = 30 * 86_400) -> list[tuple[int, str]]:
    """Return events that came evenly over a span of seconds until shortly before now."""
    return [(NOW - 10 - span + span * each // number, f"evt_{each}") for each in range(number)]


def run_of(engine: Engine, **said: Any) -> OpenRun:
    """Begin a run, or go on with it."""
    wanted = RunRequest(
        kind="reconcile", realm=Realm("test"), actor="test", reason=None, said=said, rate=5.0
    )
    return begin(engine, wanted)


def walk_of(engine: Engine, listed: Any, run: OpenRun, **given: Any) -> Walk:
    """Return a walk over the list of events."""
    readings = given.pop("readings", [ListReading(list=EVENTS)])
    return Walk(engine, run, readings, make_api=lambda: listed, account=OWN, **given)


def stored_ids(engine: Engine, walk: Walk, most: int | None = None) -> Generator[str, None, None]:
    """Store the pages of a walk one by one, and yield the ids of what each showed."""
    for number, page in enumerate(walk.pages(), start=1):
        with engine.begin() as connection:
            store(connection, walk, page)
        yield from ids_of(page)
        if number == most:
            return


def store(connection: Connection, walk: Walk, page: ListPage) -> None:
    """Store one page, as a taker does."""
    assert page.objects
    walk.save(connection)


def ids_of(page: ListPage) -> list[str]:
    return [str(each["id"]) for each in page.objects]
