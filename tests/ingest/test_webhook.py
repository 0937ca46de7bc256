"""Each answer of the webhook endpoint, the order of its checks, and the counters."""

import gc
import json
import weakref
from typing import Any

import pytest
import redis
from structlog.testing import capture_logs
from werkzeug.test import EnvironBuilder

from runtime.inbox.entries import InboxFull
from runtime.telemetry import secret_fingerprint
from runtime.time_limits import RETRY_AFTER_SECONDS
from runtime.webhook_path import DEFAULT as WEBHOOK_PATH
from tests.fakes import NOW, SECRET, FakeIngestInbox, FakeWakes, settings
from tests.ingest.ingest_client import SIGNED_AT, IngestClient, event, problem, sign

RESULT = {"outcome": "applied", "applied_at": "2026-11-22T12:00:00+00:00", "attempts": 1}


@pytest.fixture
def ingest() -> IngestClient:
    return IngestClient()


class TestAccepted:
    def test_a_new_event_is_in_the_inbox_before_it_is_answered(self, ingest: IngestClient) -> None:
        response = ingest.deliver()

        assert response.status_code == 202
        assert response.get_json() == {"status": "accepted", "event_id": "evt_1"}
        assert ingest.inbox.known["evt_1"].body == event()
        assert ingest.received() == {"accepted": 1, "duplicate": 0, "invalid": 0, "refused": 0}
        assert ingest.count("billing_webhook_ack_seconds_count") == 1

    def test_a_thin_event_is_accepted_at_the_same_endpoint(self, ingest: IngestClient) -> None:
        thin = {
            "id": "evt_thin",
            "object": "v2.core.event",
            "type": "v1.billing.meter.no_meter_found",
            "created": "2026-11-22T12:00:00.000Z",
            "livemode": False,
            "related_object": {"id": "mtr_1", "type": "billing.meter", "url": "/v1/x"},
        }

        assert ingest.deliver(json.dumps(thin).encode()).status_code == 202

    def test_another_secret_is_as_good_and_its_use_is_shown(self) -> None:
        ingest = IngestClient(settings=settings(STRIPE_WEBHOOK_SECRET=f"whsec_old,{SECRET}"))

        assert ingest.deliver().status_code == 202

        name = "billing_webhook_secret_last_used_timestamp_seconds"
        assert ingest.count(name, secret=secret_fingerprint(SECRET)) == NOW.timestamp()
        assert ingest.count(name, secret=secret_fingerprint("whsec_old")) == 0

    @pytest.mark.parametrize("kind", ["application/json; charset=utf-8", "Application/JSON", ""])
    def test_json_may_be_announced_in_any_way_or_not_at_all(
        self, ingest: IngestClient, kind: str
    ) -> None:
        assert ingest.post(event(), sign(event()), Content_Type=kind).status_code == 202

    def test_a_body_of_the_largest_size_is_read(self) -> None:
        body = event(padding="x" * (1024 - len(event(padding=""))))
        ingest = IngestClient(settings=settings(PAIDUP_MAX_BODY_BYTES="1024"))

        assert len(body) == 1024
        assert ingest.deliver(body).status_code == 202


class TestWakes:
    def test_an_owed_wake_up_is_published(self) -> None:
        ingest = IngestClient(inbox=FakeIngestInbox(wake="w1"))

        ingest.deliver()

        assert ingest.wakes.published == ["w1"]
        assert ingest.inbox.unregistered == []

    def test_without_an_owed_wake_up_nothing_is_published(self, ingest: IngestClient) -> None:
        ingest.deliver()

        assert ingest.wakes.published == []

    def test_an_unreachable_broker_changes_no_answer_and_frees_the_registration(self) -> None:
        ingest = IngestClient(inbox=FakeIngestInbox(wake="w1"), wakes=FakeWakes(fault=False))

        assert ingest.deliver().status_code == 202
        assert ingest.inbox.unregistered == ["w1"]
        assert ingest.count("billing_wake_failures_total") == 1

    def test_not_even_a_bug_while_publishing_changes_the_answer(self) -> None:
        ingest = IngestClient(
            inbox=FakeIngestInbox(wake="w1"), wakes=FakeWakes(fault=RuntimeError("bug"))
        )

        assert ingest.deliver().status_code == 202


class TestDuplicates:
    def test_a_settled_event_is_answered_with_its_cached_result(self, ingest: IngestClient) -> None:
        ingest.deliver()
        ingest.inbox.results["evt_1"] = RESULT

        response = ingest.deliver(at=SIGNED_AT + 60)

        assert response.status_code == 200
        assert response.get_json() == {
            "status": "duplicate",
            "event_id": "evt_1",
            "result": RESULT,
        }
        assert ingest.count("billing_webhook_replay_block_total", reason="duplicate") == 1
        assert ingest.count("idempotent_hits_total", operation="ingest") == 1
        assert ingest.received() == {"accepted": 1, "duplicate": 1, "invalid": 0, "refused": 0}

    def test_a_pending_event_has_no_result_yet(self, ingest: IngestClient) -> None:
        ingest.deliver()

        response = ingest.deliver()

        assert response.status_code == 200
        assert response.get_json()["result"] is None

    def test_another_shape_of_the_same_event_is_a_duplicate(self, ingest: IngestClient) -> None:
        ingest.deliver()

        response = ingest.deliver(event(api_version="2020-08-27"))

        assert response.get_json()["status"] == "duplicate"
        assert "conflict" not in response.get_json()

    def test_another_event_under_a_known_id_is_a_conflict_and_is_logged(
        self, ingest: IngestClient
    ) -> None:
        ingest.deliver()

        with capture_logs() as lines:
            response = ingest.deliver(event(type="customer.deleted"))

        assert [(line["log_level"], line["event_id"]) for line in lines] == [("error", "evt_1")]

        assert response.status_code == 200
        assert response.get_json()["conflict"] is True
        assert ingest.count("billing_webhook_conflicts_total") == 1
        assert ingest.count("idempotent_hits_total", operation="ingest") == 0


BAD_SIGNATURES = [
    (None, "signature-missing", "missing"),
    ("", "signature-missing", "missing"),
    ("v1=aa", "signature-malformed", "malformed"),
    (f"t={SIGNED_AT}", "signature-malformed", "malformed"),
    (f"t={SIGNED_AT},t={SIGNED_AT},v1=aa", "signature-malformed", "malformed"),
    (f"t={'9' * 400},v1=aa", "signature-malformed", "malformed"),
]


class TestSignature:
    @pytest.mark.parametrize(("header", "code", "reason"), BAD_SIGNATURES)
    def test_a_header_that_cannot_be_read_is_a_bad_request(
        self, ingest: IngestClient, header: str | None, code: str, reason: str
    ) -> None:
        assert problem(ingest.post(event(), header)) == (400, code)
        assert ingest.count("billing_webhook_invalid_sig_total", reason=reason) == 1
        assert ingest.received()["invalid"] == 1
        assert ingest.inbox.asked == 0

    @pytest.mark.parametrize("signature", ["0" * 64, "\u00e9", "x"])
    def test_a_signature_with_another_secret_is_forbidden(
        self, ingest: IngestClient, signature: str
    ) -> None:
        response = ingest.post(event(), f"t={SIGNED_AT},v1={signature}")

        assert problem(response) == (403, "signature-mismatch")
        assert ingest.count("billing_webhook_invalid_sig_total", reason="mismatch") == 1

    def test_one_changed_byte_of_the_body_is_forbidden(self, ingest: IngestClient) -> None:
        response = ingest.post(event() + b" ", sign(event()))

        assert problem(response) == (403, "signature-mismatch")

    @pytest.mark.parametrize(
        ("at", "code", "reason"),
        [
            (SIGNED_AT - 301, "timestamp-stale", "stale_timestamp"),
            (SIGNED_AT + 301, "timestamp-future", "future_timestamp"),
        ],
    )
    def test_a_genuine_signature_of_another_time_is_a_blocked_replay(
        self, ingest: IngestClient, at: int, code: str, reason: str
    ) -> None:
        assert problem(ingest.deliver(at=at)) == (403, code)
        assert ingest.count("billing_webhook_replay_block_total", reason=reason) == 1
        assert all(
            ingest.count("billing_webhook_invalid_sig_total", reason=reason) == 0
            for reason in ("missing", "malformed", "mismatch")
        )

    def test_the_tolerance_is_a_setting(self) -> None:
        ingest = IngestClient(settings=settings(PAIDUP_SIGNATURE_TOLERANCE_SECONDS="1"))

        assert problem(ingest.deliver(at=SIGNED_AT - 2)) == (403, "timestamp-stale")

    def test_a_replay_does_not_count_as_a_use_of_its_secret(self, ingest: IngestClient) -> None:
        ingest.deliver(at=SIGNED_AT - 301)

        name = "billing_webhook_secret_last_used_timestamp_seconds"
        assert ingest.count(name, secret=secret_fingerprint(SECRET)) == 0


class TestBody:
    @pytest.mark.parametrize(
        "body",
        [
            b"",
            b"{",
            b"[]",
            b"1",
            b"null",
            b'"evt_1"',
            b"{}",
            b'{"id": "evt_1"}',
            b"[" * 50_000,
            b'{"a":' * 50_000 + b"1" + b"}" * 50_000,
            b'{"id": "evt_1", "created": ' + b"9" * 100_000 + b"}",
            event(id=None),
            event(id=["evt_1"]),
            event(type=7),
            event(type=""),
        ],
    )
    def test_a_signed_body_that_is_no_event_is_a_bad_request(
        self, ingest: IngestClient, body: bytes
    ) -> None:
        assert problem(ingest.deliver(body)) == (400, "not-an-event")
        assert ingest.received()["invalid"] == 1
        assert ingest.inbox.asked == 0

    @pytest.mark.parametrize(
        ("body", "reason"),
        [
            (event().replace(b'"created"', b'"creation"'), "created is missing"),
            (event(created="today"), "created is no time that Stripe states"),
            (event(type=7), "there is no usable type"),
            (event(data=None), "there is no data.object"),
        ],
    )
    def test_the_answer_to_a_signed_body_says_what_is_wrong_with_it(
        self, ingest: IngestClient, body: bytes, reason: str
    ) -> None:
        response = ingest.deliver(body)

        assert problem(response) == (400, "not-an-event")
        assert reason in response.get_json()["detail"]

    def test_a_body_that_is_not_utf_8_is_a_bad_request_even_if_signed(
        self, ingest: IngestClient
    ) -> None:
        response = ingest.post(b"\xff\xfe", f"t={SIGNED_AT},v1={'0' * 64}")

        assert problem(response) == (400, "not-an-event")

    def test_a_body_over_the_limit_is_too_large(self) -> None:
        ingest = IngestClient(settings=settings(PAIDUP_MAX_BODY_BYTES="1024"))

        assert problem(ingest.deliver(b"x" * 1025)) == (413, "body-too-large")
        assert ingest.received()["invalid"] == 1

    def test_a_body_that_does_not_say_its_size_is_limited_too(self) -> None:
        ingest = IngestClient(settings=settings(PAIDUP_MAX_BODY_BYTES="1024"))

        response = ingest.client.post(
            "/webhooks/stripe",
            environ_overrides={"wsgi.input": _Endless(), "wsgi.input_terminated": True},
            content_type="application/json",
        )

        assert problem(response) == (413, "body-too-large")

    def test_a_body_that_ends_early_is_not_mistaken_for_a_forged_one(
        self, ingest: IngestClient
    ) -> None:
        response = ingest.client.post(
            "/webhooks/stripe",
            data=event()[:-5],
            headers={"Stripe-Signature": sign(event())},
            environ_overrides={"CONTENT_LENGTH": str(len(event())), "wsgi.input_terminated": True},
        )

        assert problem(response) == (400, "body-incomplete")
        assert ingest.count("billing_webhook_invalid_sig_total", reason="mismatch") == 0


class TestOrderOfChecks:
    """The order is path, method, media type, size, signature, timestamp, JSON, Redis."""

    @pytest.fixture
    def ingest(self) -> IngestClient:
        broken = FakeIngestInbox(broken=redis.ConnectionError())
        return IngestClient(settings=settings(PAIDUP_MAX_BODY_BYTES="1024"), inbox=broken)

    def test_path_before_method(self, ingest: IngestClient) -> None:
        assert problem(ingest.client.delete("/webhooks/other"))[0] == 404

    def test_method_before_media_type(self, ingest: IngestClient) -> None:
        response = ingest.client.put("/webhooks/stripe", content_type="text/plain")

        assert problem(response)[0] == 405
        assert response.headers["Allow"] == "POST"

    def test_media_type_before_size(self, ingest: IngestClient) -> None:
        response = ingest.post(b"x" * 2000, Content_Type="text/plain")

        assert problem(response) == (415, "unsupported-media-type")

    def test_size_before_signature(self, ingest: IngestClient) -> None:
        assert problem(ingest.post(b"x" * 2000))[0] == 413

    def test_a_readable_header_before_the_body(self, ingest: IngestClient) -> None:
        assert problem(ingest.post(b"\xff", "t=1"))[1] == "signature-malformed"

    def test_signature_before_timestamp(self, ingest: IngestClient) -> None:
        assert problem(ingest.deliver(secret="whsec_x", at=1))[1] == "signature-mismatch"

    def test_timestamp_before_json(self, ingest: IngestClient) -> None:
        assert problem(ingest.deliver(b"{", at=1))[1] == "timestamp-stale"

    def test_json_before_redis(self, ingest: IngestClient) -> None:
        assert problem(ingest.deliver(b"{"))[1] == "not-an-event"
        assert ingest.inbox.asked == 0


REDIS_FAULTS = [
    redis.TimeoutError("slow"),
    redis.ConnectionError("down"),
    redis.BusyLoadingError("loading"),
    redis.OutOfMemoryError("full"),
    redis.ReadOnlyError("replica"),
    redis.ResponseError("MISCONF cannot write to disk"),
    redis.exceptions.NoScriptError("gone"),
    redis.exceptions.MaxConnectionsError("busy"),
]


class TestUnavailable:
    @pytest.mark.parametrize("fault", REDIS_FAULTS, ids=lambda fault: type(fault).__name__)
    def test_no_fault_of_redis_is_acknowledged(self, fault: Exception) -> None:
        ingest = IngestClient(inbox=FakeIngestInbox(broken=fault))

        response = ingest.deliver()

        assert problem(response) == (503, "unavailable")
        assert response.headers["Retry-After"] == str(RETRY_AFTER_SECONDS)
        assert ingest.received()["refused"] == 1

    def test_after_one_fault_redis_is_not_asked_until_a_probe_succeeds(
        self, ingest: IngestClient
    ) -> None:
        ingest.inbox.broken = redis.TimeoutError("slow")
        ingest.deliver()
        ingest.inbox.broken = None

        refused = ingest.deliver()
        ingest.breaker.check()
        accepted = ingest.deliver()

        assert (refused.status_code, accepted.status_code) == (503, 202)
        assert ingest.inbox.asked == 2

    def test_unsafe_settings_refuse_every_event(self, ingest: IngestClient) -> None:
        ingest.probe.reasons = ("appendonly is off",)
        ingest.breaker.check()

        response = ingest.deliver()

        assert problem(response) == (503, "unavailable")
        assert "appendonly" not in response.text
        assert ingest.inbox.asked == 0

    def test_a_full_inbox_refuses_new_events_and_leaves_the_breaker_closed(
        self, ingest: IngestClient
    ) -> None:
        ingest.deliver()
        ingest.inbox.broken = InboxFull(1)
        full = ingest.deliver(event("evt_2"))
        ingest.inbox.broken = None

        assert problem(full) == (503, "unavailable")
        assert ingest.deliver().status_code == 200

    def test_a_bug_is_answered_as_unavailable_because_nothing_was_taken(
        self, ingest: IngestClient
    ) -> None:
        ingest.inbox.broken = ZeroDivisionError("bug")

        assert problem(ingest.deliver()) == (503, "unavailable")
        assert ingest.received()["refused"] == 1


class TestDiscretion:
    def test_a_problem_repeats_neither_body_nor_secret_nor_signature(
        self, ingest: IngestClient
    ) -> None:
        body = event(note="card 4242")
        answers = [
            ingest.post(body),
            ingest.post(body, "t=1"),
            ingest.deliver(body, secret="whsec_wrong"),
            ingest.deliver(b'{"note": "card 4242"}'),
        ]

        for text in (answer.text for answer in answers):
            assert "4242" not in text
            assert SECRET not in text
            assert sign(body).split("v1=")[1] not in text

    def test_a_log_line_finds_the_problem_and_names_the_client(self) -> None:
        ingest = IngestClient(settings=settings(PAIDUP_TRUSTED_PROXIES="127.0.0.0/8"))

        with capture_logs() as lines:
            response = ingest.post(event(note="4242"), X_Forwarded_For="203.0.113.9")

        (line,) = lines
        assert line["event"] == "webhook declined"
        assert line["instance"] == response.get_json()["instance"]
        assert line["client"] == "203.0.113.9"
        assert "4242" not in str(line)

    def test_a_flood_of_bad_requests_writes_few_lines(self, ingest: IngestClient) -> None:
        with capture_logs() as lines:
            for _ in range(200):
                ingest.post(event())

        assert len(lines) < 100


class _Endless:
    """A body that never ends, as a chunked request may be."""

    def read(self, size: int = -1) -> bytes:
        return b"x" * min(size, 100) if size >= 0 else b"x" * 10_000_000


class TestMemory:
    def test_a_delivery_is_freed_without_the_garbage_collector(self, ingest: IngestClient) -> None:
        sent = EnvironBuilder(
            WEBHOOK_PATH,
            method="POST",
            data=event(),
            headers=[("Content-Type", "application/json"), ("Stripe-Signature", sign(event()))],
        )
        environ = Environ(sent.get_environ())
        request = weakref.ref(environ)
        gc.disable()
        try:
            b"".join(ingest.app(environ, lambda *_: lambda _: None))
            del environ

            assert request() is None
        finally:
            gc.enable()


class Environ(dict[str, Any]):
    """A dictionary that supports weak references, so that its end can be observed."""
