from dataclasses import replace

import pytest
from prometheus_client import CollectorRegistry

from runtime.history.reports import NewCounts, inbox_report, ingest_totals, worker_totals
from runtime.telemetry import OTHER, Metrics, build_metrics
from tests.runtime.inbox.backlogs import EMPTY_BACKLOG

BACKLOG = replace(
    EMPTY_BACKLOG, events=7, oldest_seconds=20.0, due=3, waiting_seconds=1.5, parked=2, claimed=2
)


@pytest.fixture
def metrics() -> Metrics:
    return build_metrics(CollectorRegistry(), event_types=("invoice.paid",))


def test_a_process_reports_what_is_new_since_its_last_report(metrics: Metrics) -> None:
    metrics.webhook_received.labels("accepted").inc(5)
    new = NewCounts(lambda: ingest_totals(metrics))
    metrics.webhook_received.labels("accepted").inc(2)
    metrics.webhook_received.labels("refused").inc()

    assert new().counts == {"accepted": 2, "refused": 1}
    assert new().counts == {}


def test_each_bucket_is_reported_by_itself(metrics: Metrics) -> None:
    new = NewCounts(lambda: ingest_totals(metrics))
    for seconds in (0.001, 0.002, 0.002, 0.7, 60):
        metrics.webhook_ack_seconds.observe(seconds)

    assert new().counts == {
        "answer|0.001": 1,
        "answer|0.0025": 2,
        "answer|1.0": 1,
        "answer|+Inf": 1,
    }


def test_events_of_all_types_are_added_up_by_outcome(metrics: Metrics) -> None:
    new = NewCounts(lambda: worker_totals(metrics))
    metrics.events_settled.labels("invoice.paid", "applied").inc()
    metrics.events_settled.labels(OTHER, "applied").inc()
    metrics.events_settled.labels(OTHER, "ignored").inc()
    metrics.event_lag_seconds.observe(0.3)

    assert new().counts == {"applied": 2, "ignored": 1, "lag|0.5": 1}


def test_the_supervisor_that_leads_reports_the_backlog_and_the_age_of_what_is_due() -> None:
    report = inbox_report(BACKLOG, 4)

    assert report.counts == {}
    assert report.levels == {"backlog": 7, "oldest_due_ms": 1500, "dead_letters": 4}


def test_dead_letters_are_left_out_while_postgresql_is_away() -> None:
    report = inbox_report(replace(BACKLOG, events=0), None)

    assert report.levels == {"backlog": 0, "oldest_due_ms": 1500}
