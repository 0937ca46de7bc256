"""A console without servers behind it, and the OpenAPI document that its responses must match."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from importlib.resources import files
from typing import Any, cast
from zoneinfo import ZoneInfo

from flask import Blueprint, Flask
from flask.testing import FlaskClient
from openapi_schema_validator import OAS31Validator
from werkzeug.test import TestResponse

from billing.projection.effective import EffectiveValue
from ops.console.access.console_access import ConsoleAccess, access_of
from ops.console.admission import Admission
from ops.console.app import create_app
from ops.console.changes import ChangesDocument
from ops.console.entitlements import Document
from ops.console.newest_cursor import NewestCursor
from ops.console.pages.frame import Frame
from ops.console.pages.routes import ConsolePages
from ops.console.read_api import ReadApi
from ops.console.statements_api import StatementsApi
from ops.console_tokens import read_tokens
from ops.statements.access import UserAccess
from ops.statements.grants import EndRequest, GrantOperations, GrantResult
from ops.statements.links import (
    KeptAccess,
    LinkOperations,
    LinkRequest,
    LinkResult,
    MovedAccess,
    MovedMoney,
)
from runtime.changes.feed import Newest
from runtime.database.engine import engine_for
from runtime.http.circuit_breaker import CircuitBreaker
from runtime.idempotency import CallResult
from runtime.ledger.record import Ledger
from runtime.telemetry import Metrics, build_metrics
from tests.fakes import FakeClock, FakeProbe, settings
from tests.ops.console.pages.other_pages import other_pages

TOKEN = "a-token-of-a-test"
EPOCH = "the-epoch-of-a-test"
UNUSED = engine_for("postgresql://127.0.0.1:1/unused", application_name="test")
DOCUMENT = {
    "user_id": "usr_1",
    "known": True,
    "version": 3,
    "epoch": EPOCH,
    "features": {"max_devices": 5, "signals_enabled": True},
    "features_expire_at": {"max_devices": None, "signals_enabled": None},
    "grants": [],
    "catalogue_version": 1,
    "pending_update": None,
}


CHANGE = {
    "cursor": 1,
    "user_id": "usr_1",
    "source": "sub_1",
    "plan_code": "premium",
    "change": "granted",
    "before": None,
    "after": {"active": True},
    "event_id": "evt_1",
    "reason": "It is active.",
    "occurred_at": "2026-11-22T12:00:00.25+00:00",
    "version": 3,
    "epoch": EPOCH,
}


def closed_access() -> ConsoleAccess:
    """Return an access that lets no person in, and needs no database for it."""
    return access_of(settings(), reading=UNUSED, writing=UNUSED)


@dataclass(kw_only=True)
class FakeEntitlements:
    """Knows one user, or raises ``broken``, and records the ids it was asked for."""

    document: bytes = json.dumps(DOCUMENT).encode()
    known: str | None = "usr_1"
    broken: Exception | None = None
    asked: list[str] = field(default_factory=list)

    def of_user(self, user_id: str) -> Document:
        return self._about(user_id)

    def of_users(self, user_ids: Sequence[str]) -> Document:
        found = [self._about(user_id) for user_id in user_ids]
        every = b", ".join(each.body for each in found)
        body = b'{"epoch": "%b", "entitlements": [%b]}' % (EPOCH.encode(), every)
        return Document(body=body, known=any(each.known for each in found), epoch=EPOCH)

    def of_customer(self, customer_id: str) -> Document:
        found = self._about(customer_id)
        whole = {"customer": customer_id, "known": found.known, "more": False, "epoch": EPOCH}
        body = json.dumps({**whole, "entitlements": []}).encode()
        return Document(body=body, known=found.known, epoch=EPOCH)

    def _about(self, user_id: str) -> Document:
        self.asked.append(user_id)
        if self.broken:
            raise self.broken
        known = self.known in {user_id, None}
        nothing = {**DOCUMENT, "user_id": user_id, "known": False, "version": 0, "features": {}}
        body = self.document if known else json.dumps(nothing).encode()
        return Document(body=body, known=known, epoch=EPOCH)


@dataclass(kw_only=True)
class FakeChanges:
    """Has changes with the cursors 1 to ``newest``, or raises ``broken``."""

    newest: int = 0
    epoch: str = EPOCH
    broken: Exception | None = None
    asked: int = 0

    def read_newest(self) -> Newest:
        if self.broken:
            raise self.broken
        return Newest(cursor=self.newest, epoch=self.epoch)

    def start(self) -> ChangesDocument:
        return self.after(self.newest, limit=0)

    def after(self, cursor: int, *, limit: int) -> ChangesDocument:
        self.asked += 1
        if self.broken:
            raise self.broken
        last = max(cursor, min(cursor + limit, self.newest))
        changes = [{**CHANGE, "cursor": place} for place in range(cursor + 1, last + 1)]
        more = last < self.newest
        document = {"changes": changes, "cursor": last, "more": more, "epoch": self.epoch}
        return ChangesDocument(
            body=json.dumps(document).encode(),
            cursor=last,
            newest=Newest(cursor=self.newest, epoch=self.epoch),
            empty=not changes,
        )


@dataclass(kw_only=True)
class FakeStatements:
    """Records what it is asked to state, or raises ``broken``; also the ledger of itself."""

    asked: list[tuple[Any, str | None, str]] = field(default_factory=list)
    repeated: bool = False
    broken: Exception | None = None

    def transact(self, work: Callable[[Any], Any]) -> Any:
        return work(None)

    def add(self, _: Any, request: Any, *, key: str | None, scope: str) -> CallResult[Any]:
        self.asked.append((request, key, scope))
        if self.broken:
            raise self.broken
        result = LINK_RESULT if isinstance(request, LinkRequest) else GRANT_RESULT
        return CallResult(result=result, repeated=self.repeated)

    def end(self, _: Any, request: EndRequest, *, key: str | None, scope: str) -> CallResult[Any]:
        self.asked.append((request, key, scope))
        if self.broken:
            raise self.broken
        result = LINK_RESULT if request.id.startswith("link_") else GRANT_RESULT
        return CallResult(result=result, repeated=self.repeated)


GRANT_RESULT = GrantResult(
    grant="grant_1",
    statement="op_1",
    user_id="usr_1",
    plan_code="premium",
    features={"max_devices": 5},
    starts_at=datetime(2026, 11, 1, tzinfo=UTC),
    until=None,
    actor="token:support",
    reason="the outage",
    then=datetime(2026, 11, 1, tzinfo=UTC),
    before=UserAccess(features={}),
    after=UserAccess(features={"max_devices": EffectiveValue(value=5, expires_at=None)}),
)
LINK_RESULT = LinkResult(
    link="link_1",
    statement="op_1",
    target="cs_1",
    user_id="usr_1",
    realm="live",
    actor="token:support",
    reason="a guest",
    access=(MovedAccess(change="gains", user_id="usr_1", source="pi_1", plan_code="premium"),),
    money=(MovedMoney(user_id=None, payment_ref="pi_1", amount_minor=-5, currency="usd"),),
    stays=(KeptAccess(user_id="usr_2", source="sub_1", plan_code="premium"),),
    more_follows=False,
)


@dataclass(kw_only=True)
class Console:
    """An application with fakes behind it, and the counters it moves."""

    tokens: str = TOKEN
    rate: int = 1000
    entitlements: FakeEntitlements = field(default_factory=FakeEntitlements)
    changes: FakeChanges = field(default_factory=FakeChanges)
    statements: FakeStatements = field(default_factory=FakeStatements)
    most_waiting: int = 1
    probe: FakeProbe = field(default_factory=FakeProbe)
    access: ConsoleAccess = field(default_factory=closed_access)
    pages: Sequence[Blueprint] = ()
    clock: FakeClock = field(default_factory=FakeClock)

    def __post_init__(self) -> None:
        tokens = read_tokens(filter(None, self.tokens.split(",")))
        self.metrics: Metrics = build_metrics(tokens=(token.name for token in tokens))
        self.breaker = CircuitBreaker(
            self.probe, server="PostgreSQL", monotonic=self.clock.monotonic
        )
        self.breaker.check()
        self.newest_cursor = NewestCursor(
            self.changes.read_newest,
            most_waiting=self.most_waiting,
            failed=self.breaker.failed,
        )
        self.admission = Admission(
            tokens=tokens,
            rate=self.rate,
            metrics=self.metrics,
            monotonic=self.clock.monotonic,
            time=self.clock.now.timestamp,
        )
        api = ReadApi(
            entitlements=self.entitlements,
            changes=self.changes,
            newest_cursor=self.newest_cursor,
            admission=self.admission,
            metrics=self.metrics,
            breaker=self.breaker,
        )
        statements_api = StatementsApi(
            ledger=cast("Ledger", self.statements),
            grants=cast("GrantOperations", self.statements),
            links=cast("LinkOperations", self.statements),
            zone=ZoneInfo("UTC"),
            admission=self.admission,
            breaker=self.breaker,
        )
        self.app: Flask = create_app(
            read_api=api,
            statements_api=statements_api,
            pages=self._console_pages(),
            metrics=self.metrics,
            breaker=self.breaker,
        )

    def _console_pages(self) -> ConsolePages:
        return ConsolePages(
            frame=Frame(settings(), UNUSED, cast("Ledger", self.statements)),
            access=self.access,
            subjects=[*self.pages, *other_pages(self.pages, "overview.show", "search.find")],
        )

    @property
    def client(self) -> FlaskClient:
        """A client without default headers."""
        return self.app.test_client()

    def read(
        self, user_id: str = "usr_1", *, token: str | None = TOKEN, **headers: str
    ) -> TestResponse:
        """Request the entitlements of a user whose id needs no encoding."""
        return self.get(f"/v1/users/{user_id}/entitlements", token=token, **headers)

    def get(self, url: str, *, token: str | None = TOKEN, **headers: str) -> TestResponse:
        """Request any URL."""
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        return self.client.get(url, headers=headers)

    def reads(self) -> dict[str, float]:
        """Return the number of responses by result."""
        (family,) = self.metrics.reads.collect()
        return {
            sample.labels["result"]: sample.value
            for sample in family.samples
            if sample.name.endswith("_total") and sample.value
        }


@cache
def description() -> Mapping[str, Any]:
    """Return the OpenAPI document that is served."""
    document: Mapping[str, Any] = json.loads(
        files("ops.console").joinpath("openapi.json").read_bytes()
    )
    return document


def parameter(path: str, name: str) -> Mapping[str, Any]:
    """Return the schema of a parameter of a path."""
    described = description()["paths"][path]["get"]["parameters"]
    (schema,) = (each["schema"] for each in described if each["name"] == name)
    return dict(schema)


def conforms(response: TestResponse, path: str, *, method: str = "get") -> bool:
    """Return True if the document describes the response; else an assertion fails."""
    described = description()["paths"][path][method]["responses"][str(response.status_code)]
    for name, header in described.get("headers", {}).items():
        if not header["required"] and name not in response.headers:
            continue
        assert name in response.headers
        schema = header["schema"]
        value = response.headers[name]
        validate(int(value) if schema.get("type") == "integer" else value, schema)
    if response.status_code == 304:
        return not response.data
    media_type = str(response.mimetype)
    content = described["content"][media_type]
    if media_type.endswith("json"):
        validate(json.loads(response.data), content["schema"])
    return True


def validate(value: object, schema: Mapping[str, Any]) -> None:
    """Validate a value against a schema of the document."""
    whole = {**schema, "components": description()["components"]}
    OAS31Validator(whole, format_checker=OAS31Validator.FORMAT_CHECKER).validate(value)
