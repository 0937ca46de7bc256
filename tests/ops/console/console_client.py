"""A console without servers behind it, and the OpenAPI document that its responses must match."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Any

from flask import Flask
from flask.testing import FlaskClient
from openapi_schema_validator import OAS31Validator
from werkzeug.test import TestResponse

from ops.console.app import create_app
from ops.console.read_api import ReadApi
from ops.console.tokens import read_tokens
from runtime.http.circuit_breaker import CircuitBreaker
from runtime.telemetry import Metrics, build_metrics
from tests.fakes import FakeClock, FakeProbe

TOKEN = "a-token-of-a-test"
DOCUMENT = {
    "user_id": "usr_1",
    "features": {"max_devices": 5, "signals_enabled": True},
    "features_expire_at": {"max_devices": None, "signals_enabled": None},
    "grants": [],
    "catalogue_version": 1,
}


@dataclass(kw_only=True)
class FakeEntitlements:
    """Knows one user, or raises ``broken``, and records the ids it was asked for."""

    document: bytes = json.dumps(DOCUMENT).encode()
    known: str | None = "usr_1"
    broken: Exception | None = None
    asked: list[str] = field(default_factory=list)

    def of(self, user_id: str) -> bytes | None:
        self.asked.append(user_id)
        if self.broken:
            raise self.broken
        return self.document if self.known in {user_id, None} else None


@dataclass(kw_only=True)
class Console:
    """An application with fakes behind it, and the counters it moves."""

    tokens: str = TOKEN
    rate: int = 1000
    entitlements: FakeEntitlements = field(default_factory=FakeEntitlements)
    probe: FakeProbe = field(default_factory=FakeProbe)
    clock: FakeClock = field(default_factory=FakeClock)

    def __post_init__(self) -> None:
        tokens = read_tokens(filter(None, self.tokens.split(",")))
        self.metrics: Metrics = build_metrics(tokens=(token.name for token in tokens))
        self.breaker = CircuitBreaker(
            self.probe, server="PostgreSQL", monotonic=self.clock.monotonic
        )
        self.breaker.check()
        api = ReadApi(
            read_document=self.entitlements.of,
            tokens=tokens,
            rate=self.rate,
            metrics=self.metrics,
            breaker=self.breaker,
            monotonic=self.clock.monotonic,
            time=self.clock.now.timestamp,
        )
        self.app: Flask = create_app(read_api=api, metrics=self.metrics, breaker=self.breaker)

    @property
    def client(self) -> FlaskClient:
        """A client without default headers."""
        return self.app.test_client()

    def read(
        self, user_id: str = "usr_1", *, token: str | None = TOKEN, **headers: str
    ) -> TestResponse:
        """Request the entitlements of a user whose id needs no encoding."""
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        return self.client.get(f"/v1/users/{user_id}/entitlements", headers=headers)

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


def conforms(response: TestResponse, path: str) -> bool:
    """Return True if the document describes the response; else an assertion fails."""
    described = description()["paths"][path]["get"]["responses"][str(response.status_code)]
    for name, header in described.get("headers", {}).items():
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
