from math import inf

import pytest

from runtime.telemetry import SharedState
from tests.ingest.ingest_client import IngestClient, problem


@pytest.fixture
def ingest() -> IngestClient:
    return IngestClient()


def test_liveness_does_not_depend_on_redis(ingest: IngestClient) -> None:
    ingest.probe.broken = TimeoutError()
    ingest.breaker.check()

    assert ingest.client.get("/healthz").status_code == 200


def test_ready_when_redis_is_safe(ingest: IngestClient) -> None:
    assert ingest.client.get("/readyz").status_code == 200


def test_not_ready_names_every_unsafe_setting(ingest: IngestClient) -> None:
    ingest.probe.reasons = ("appendonly is off", "maxmemory is not set")
    ingest.breaker.check()

    response = ingest.client.get("/readyz")

    assert problem(response) == (503, "not-ready")
    assert response.get_json()["unsafe"] == ["appendonly is off", "maxmemory is not set"]


def test_metrics_start_at_0(ingest: IngestClient) -> None:
    scrape = ingest.client.get("/metrics").text

    for series in (
        'billing_webhook_received_total{result="accepted"}',
        'billing_webhook_received_total{result="refused"}',
        'billing_webhook_invalid_sig_total{reason="malformed"}',
        'billing_webhook_replay_block_total{reason="future_timestamp"}',
        'idempotent_hits_total{operation="ingest"}',
        "billing_webhook_ack_seconds_count",
    ):
        assert f"{series} 0.0" in scrape.splitlines()


def test_metrics_show_the_backlog_even_if_no_worker_runs() -> None:
    ingest = IngestClient(state=SharedState(backlog_events=7, backlog_oldest_seconds=1.5))

    scrape = ingest.client.get("/metrics").text.splitlines()

    assert "billing_backlog_events 7.0" in scrape
    assert "billing_backlog_oldest_seconds 1.5" in scrape


def test_metrics_say_how_long_the_room_of_the_inbox_lasts() -> None:
    ingest = IngestClient(
        state=SharedState(
            inbox_bytes_each=4800, inbox_bytes_left=9600, inbox_growth=-2.0, inbox_seconds_left=inf
        )
    )

    scrape = ingest.client.get("/metrics").text.splitlines()

    assert "billing_inbox_bytes_per_event 4800.0" in scrape
    assert "billing_inbox_room_bytes 9600.0" in scrape
    assert "billing_inbox_growth_events_per_second -2.0" in scrape
    assert "billing_inbox_full_in_seconds +Inf" in scrape


@pytest.mark.parametrize(
    "path", ["/", "/webhooks", "/webhooks/stripe//", "//webhooks/stripe", "/%ff"]
)
def test_any_other_path_is_a_problem(ingest: IngestClient, path: str) -> None:
    assert problem(ingest.client.get(path)) == (404, "not-found")


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "PUT", "PATCH", "DELETE", "POKE"])
def test_the_endpoint_accepts_only_posts(ingest: IngestClient, method: str) -> None:
    response = ingest.client.open("/webhooks/stripe", method=method)

    assert response.status_code == 405
    assert response.headers["Allow"] == "POST"
    assert response.mimetype == "application/problem+json"


def test_a_bug_is_a_problem_too_and_no_500(
    ingest: IngestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ingest, "state", None)

    assert problem(ingest.client.get("/metrics")) == (503, "unavailable")
    assert ingest.received()["refused"] == 0
