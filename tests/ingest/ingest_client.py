"""Build requests as Stripe and others send them, and an ingest without servers behind it."""

import json
from dataclasses import dataclass, field
from typing import Any

from flask import Flask
from flask.testing import FlaskClient
from stripe import WebhookSignature
from werkzeug.test import TestResponse

from ingest.app import create_app
from ingest.signature_counter import SignatureCounter
from ingest.wrong_paths import WrongPathCounter
from runtime.http.circuit_breaker import CircuitBreaker
from runtime.settings import Settings
from runtime.telemetry import Metrics, SharedState, build_metrics, secret_fingerprint
from tests.fakes import NOW, SECRET, FakeClock, FakeIngestInbox, FakeProbe, FakeWakes, settings

SIGNED_AT = int(NOW.timestamp())


def event(event_id: str = "evt_1", **others: Any) -> bytes:
    """Return a small event as the bytes that Stripe would send."""
    document = {
        "id": event_id,
        "object": "event",
        "type": "customer.created",
        "api_version": "2026-10-28.endive",
        "created": SIGNED_AT,
        "livemode": False,
        "data": {"object": {"id": "cus_1", "object": "customer"}},
        **others,
    }
    return json.dumps(document).encode()


def sign(body: bytes, *, secret: str = SECRET, at: int = SIGNED_AT) -> str:
    """Return the header that Stripe would send with these bytes."""
    return str(WebhookSignature.generate_signature_header(body.decode(), secret, at))


@dataclass(kw_only=True)
class IngestClient:
    """An application with fakes behind it, and its counters."""

    settings: Settings = field(default_factory=settings)
    inbox: FakeIngestInbox = field(default_factory=FakeIngestInbox)
    wakes: FakeWakes = field(default_factory=FakeWakes)
    probe: FakeProbe = field(default_factory=FakeProbe)
    clock: FakeClock = field(default_factory=FakeClock)
    state: SharedState = field(default_factory=SharedState)

    def __post_init__(self) -> None:
        self.metrics: Metrics = build_metrics(
            secrets=map(secret_fingerprint, self.settings.webhook_secrets)
        )
        self.breaker = CircuitBreaker(self.probe, server="Redis", monotonic=self.clock.monotonic)
        self.breaker.check()
        self.wrong_paths = WrongPathCounter(
            self.settings.webhook_path, self.metrics.webhook_wrong_path, self.clock.monotonic
        )
        self.signatures = SignatureCounter(self.clock.monotonic)
        self.app: Flask = create_app(
            settings=self.settings,
            inbox=self.inbox,
            publish=self.wakes.publish,
            metrics=self.metrics,
            breaker=self.breaker,
            state=lambda: self.state,
            clock=self.clock,
            wrong_paths=self.wrong_paths,
            signatures=self.signatures,
        )
        self.client: FlaskClient = self.app.test_client()

    def post(self, body: bytes, signature: str | None = None, **headers: str) -> TestResponse:
        """Send a body with this signature, by default as JSON."""
        sent = {"Content-Type": "application/json"}
        if signature is not None:
            sent["Stripe-Signature"] = signature
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        return self.client.post(self.settings.webhook_path, data=body, headers=sent)

    def deliver(self, body: bytes | None = None, **signing: Any) -> TestResponse:
        """Send an event signed as Stripe signs it."""
        body = event() if body is None else body
        return self.post(body, sign(body, **signing))

    def count(self, name: str, **labels: str) -> float:
        """Return the value of one series, which must exist."""
        value = self.metrics.registry.get_sample_value(name, labels)
        assert value is not None, (name, labels)
        return value

    def received(self) -> dict[str, float]:
        """Return the number of answers so far, by result."""
        return {
            result: self.count("billing_webhook_received_total", result=result)
            for result in ("accepted", "duplicate", "invalid", "refused")
        }


def problem(response: TestResponse) -> tuple[int, str]:
    """Return status and code of a well-formed problem document; fail on anything else."""
    assert response.mimetype == "application/problem+json"
    document = response.get_json()
    assert set(document) >= {"type", "title", "status", "detail", "instance"}
    assert document["status"] == response.status_code
    return response.status_code, str(document["type"]).removeprefix("urn:paidup:problem:")
