"""A database that heard the events of a company, and the same company at Stripe."""

import json
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from math import inf
from typing import Any

import redis
from sqlalchemy import Engine

from billing.catalogue import read_catalogue
from billing.envelope import parse
from billing.fetching.record import GONE, ApiResponse, read_response
from ops.reconcile.agree import agree
from ops.reconcile.agreement import Agreement
from ops.reconcile.course import ComparisonRequest, ComparisonRun
from ops.reconcile.differences import FoundDifference, read_differences
from ops.reconcile.objects import compare_objects, scope_of
from ops.stripe_runs.runs import RunRequest, begin
from runtime.database.engine import engine_for
from runtime.inbox.inbox import Inbox
from runtime.ledger import catalogues
from runtime.ledger.deliveries import Delivery
from runtime.ledger.record import Ledger
from runtime.reconciling import ComparedPart
from runtime.settings import Settings
from runtime.stripe_api.accounts import ApiAccount
from runtime.stripe_api.errors import ApiFailure
from tests.stripe.company import Company, CompanyEvent, CompanyPlan, build_company
from tests.stripe.lists import Asked
from tests.stripe.refusals import StripeRefusal
from tests.stripe.state import moment

NOW = int(datetime.now(UTC).timestamp()) - 60
OWN = ApiAccount(livemode=False)


@dataclass
class FakeTime:
    """A clock that moves when somebody sleeps; ``during`` is called before it does."""

    seconds: float = 0.0
    during: Callable[[], None] = lambda: None

    def __call__(self) -> float:
        return self.seconds

    def sleep(self, seconds: float) -> None:
        self.during()
        self.seconds += seconds


@dataclass
class StripeInMemory:
    """Stripe's API without HTTP; ``hidden`` objects are unknown to it."""

    company: Company
    now: int = NOW
    hidden: set[str] = field(default_factory=set)
    refuses: Callable[[str], ApiFailure | None] = lambda _: None
    changes: dict[str, Callable[[dict[str, Any]], object]] = field(default_factory=dict)
    """What is otherwise at an object than its events said, by id."""
    asked: list[str] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def ask(self, request: str, _account: ApiAccount) -> ApiResponse:
        with self._lock:
            self.asked.append(request)
            if (failure := self.refuses(request)) is not None:
                raise failure
            return read_response(request, *self._answered(request))

    def _answered(self, request: str) -> tuple[int, datetime, str]:
        at = moment(self.now)
        try:
            body = self.company.stripe.respond(
                request, Asked(at=datetime.max.replace(tzinfo=UTC), now=self.now)
            )
        except StripeRefusal as refusal:
            return refusal.status, at, json.dumps(refusal.body)
        shown = json.loads(json.dumps(body, default=_raw))
        if shown.get("object") == "list":
            data = [self._changed(each) for each in shown["data"] if each["id"] not in self.hidden]
            return 200, at, json.dumps({**shown, "data": data})
        if shown["id"] in self.hidden:
            return GONE, at, json.dumps({"error": {"code": "resource_missing"}})
        return 200, at, json.dumps(self._changed(shown))

    def _changed(self, raw: dict[str, Any]) -> dict[str, Any]:
        if change := self.changes.get(raw["id"]):
            change(raw)
        return raw

    def close(self) -> None:
        """Close nothing: there is no connection."""

    def all(self, request: str) -> list[dict[str, Any]]:
        """Return the objects of a page of a list."""
        return list(self.ask(request, OWN).body["data"])


@dataclass
class CompanySides:
    """Both sides; no gap is between them until a test makes one."""

    engine: Engine
    inbox: Inbox
    company: Company
    stripe: StripeInMemory
    time: FakeTime
    sentences: list[str] = field(default_factory=list)

    def deliver(self, *, without: Callable[[CompanyEvent], bool] = lambda _: False) -> None:
        """Apply all events but some."""
        self.hear([each for each in self.company.events() if not without(each)])

    def hear(self, heard: Sequence[CompanyEvent]) -> None:
        """Apply these events."""
        ledger = Ledger(self.engine, livemode="any", accounts=frozenset(), deciding_seconds=inf)
        for start in range(0, len(heard), 100):
            ledger.record([*map(_delivery, heard[start : start + 100])])

    def compare(
        self, *, apply: bool = False, **wished: Any
    ) -> tuple[Agreement, list[FoundDifference]]:
        """Compare objects, and return the statement and the differences."""
        wish = ComparisonRequest(
            actor="ada",
            reason="a test",
            parts=(ComparedPart.OBJECTS,),
            applies_objects=apply,
            **wished,
        )
        course = self.course(wish)
        try:
            compared = {ComparedPart.OBJECTS: compare_objects(course)}
        except Exception:
            course.run.release(self.engine)
            raise
        with self.engine.begin() as connection:
            statement = agree(connection, course, scope_of(course), compared)
            course.run.end(connection, "done", None, statement.document())
            return statement, read_differences(connection, course.run.id)

    def course(self, wish: ComparisonRequest) -> ComparisonRun:
        request = RunRequest(
            kind="reconcile",
            realm=OWN.realm,
            actor=wish.actor,
            reason=wish.reason,
            said=wish.said(),
            rate=25.0,
        )
        return ComparisonRun(
            settings=Settings.from_env({"STRIPE_API_KEY": "sk_test_1"}),
            engine=self.engine,
            inbox=self.inbox,
            publish=lambda _: True,
            make_api=lambda: self.stripe,  # type: ignore[arg-type,return-value]
            account=OWN,
            run=begin(self.engine, request),
            wish=wish,
            wait=self.time.sleep,
            is_stopping=lambda: False,
            report=lambda *_: None,
            tell=self.sentences.append,
            clock=self.time,
        )


@contextmanager
def company_sides(database: str, redis_url: str, **plan: Any) -> Iterator[CompanySides]:
    """Make a company of twelve subscribers who have paid for three months."""
    company = build_company(CompanyPlan(**({"subscribers": 12, "months": 3, "now": NOW} | plan)))
    engine = engine_for(database, application_name="test", pool_size=12)
    plans = read_catalogue(company.document)
    catalogues.install_first(engine, plans, actor="test", reason="test")
    client = redis.Redis.from_url(redis_url, protocol=2)
    sides = CompanySides(
        engine=engine,
        inbox=Inbox(client),
        company=company,
        stripe=StripeInMemory(company),
        time=FakeTime(),
    )
    try:
        yield sides
    finally:
        client.close()
        engine.dispose()


def classes(differences: Iterable[FoundDifference]) -> dict[str, str]:
    """Return class and state of each difference, by name."""
    return {each.name: f"{each.classed} {each.state}" for each in differences}


def _delivery(event: CompanyEvent) -> Delivery:
    envelope = parse(event.delivery().body)
    return Delivery(
        envelope=envelope,
        received_at=moment(event.created),
        attempts=1,
        origin="stripe",
        key=envelope.event_id,
    )


def _raw(value: Any) -> Any:
    return json.loads(value if isinstance(value, bytes) else value.text)
