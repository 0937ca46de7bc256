import io
import json
import logging
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from runtime.telemetry import (
    DiskCollector,
    Metrics,
    SharedState,
    SharedStateCollector,
    build_metrics,
    configure_logging,
    render,
    secret_fingerprint,
)
from tests.full_disk import SHORT_FILE_BYTES, with_short_files

CLOSED_SETS = {
    "billing_webhook_received_total": {
        ("result", value) for value in ("accepted", "duplicate", "invalid", "refused")
    },
    "billing_webhook_invalid_sig_total": {
        ("reason", value) for value in ("missing", "malformed", "mismatch")
    },
    "billing_webhook_replay_block_total": {
        ("reason", value) for value in ("duplicate", "stale_timestamp", "future_timestamp")
    },
    "idempotent_hits_total": {
        ("operation", value)
        for value in (
            *("ingest", "worker", "grants.add", "grants.end", "links.add", "links.end"),
            *("bulk_plans.make", "bulk_plans.change"),
        )
    },
    "billing_entitlement_changes_total": {
        ("change", value) for value in ("granted", "changed", "revoked")
    },
}


def series(scrape: bytes) -> dict[str, list[tuple[dict[str, str], float]]]:
    found: dict[str, list[tuple[dict[str, str], float]]] = {}
    for family in text_string_to_metric_families(scrape.decode()):
        for sample in family.samples:
            found.setdefault(sample.name, []).append((dict(sample.labels), sample.value))
    return found


class TestMetrics:
    @pytest.fixture
    def metrics(self) -> Metrics:
        return build_metrics(secrets=["0a1b"], event_types=["invoice.paid"])

    @pytest.mark.parametrize("name", sorted(CLOSED_SETS))
    def test_every_series_of_a_closed_set_starts_at_0(self, metrics: Metrics, name: str) -> None:
        samples = series(render(metrics))[name]

        assert {pair for labels, _ in samples for pair in labels.items()} == CLOSED_SETS[name]
        assert {value for _, value in samples} == {0.0}

    def test_settled_events_start_at_0_for_each_known_type_and_the_others(
        self, metrics: Metrics
    ) -> None:
        samples = series(render(metrics))["billing_events_settled_total"]

        assert {(labels["event_type"], labels["outcome"]) for labels, _ in samples} == {
            (event_type, outcome)
            for event_type in ("invoice.paid", "other")
            for outcome in ("applied", "superseded", "ignored")
        }

    def test_a_secret_that_was_never_used_is_shown_as_such(self, metrics: Metrics) -> None:
        samples = series(render(metrics))["billing_webhook_secret_last_used_timestamp_seconds"]

        assert samples == [({"secret": "0a1b"}, 0.0)]

    @pytest.mark.parametrize(
        "name",
        [
            "billing_webhook_ack_seconds_count",
            "billing_event_processing_seconds_count",
            "billing_event_lag_seconds_count",
        ],
    )
    def test_histograms_start_empty(self, metrics: Metrics, name: str) -> None:
        assert series(render(metrics))[name] == [({}, 0.0)]

    def test_two_sets_of_metrics_are_independent(self, metrics: Metrics) -> None:
        metrics.webhook_received.labels("accepted").inc()

        assert b'{result="accepted"} 0.0' in generate_latest(build_metrics().registry)

    def test_a_process_that_claims_its_folder_itself_counts_there_too(self, tmp_path: Path) -> None:
        command = [sys.executable, "-c", _CLAIM_AND_COUNT, str(tmp_path / "metrics")]
        scrape = subprocess.run(command, stdout=subprocess.PIPE, timeout=60, check=True).stdout

        assert series(scrape)["billing_inbox_went_back_total"] == [({}, 1.0)]


_CLAIM_AND_COUNT = """
import os, sys
from pathlib import Path
from runtime.metrics_files import claimed_folder
from runtime.telemetry import build_metrics, render
with claimed_folder(Path(sys.argv[1]), os.environ):
    metrics = build_metrics()
    metrics.inbox_went_back.inc()
    sys.stdout.buffer.write(render(metrics))
"""


class TestSharedState:
    def test_each_scrape_shows_the_known_values(self) -> None:
        states = iter(
            [
                SharedState(backlog_events=0, breaker_open=False),
                SharedState(backlog_events=9, backlog_oldest_seconds=2.5, breaker_open=True),
            ]
        )
        metrics, shared = build_metrics(), SharedStateCollector(lambda: next(states))

        first, second = (series(render(metrics, shared)) for _ in range(2))

        assert first["billing_backlog_events"] == [({}, 0.0)]
        assert first["billing_breaker_open"] == [({}, 0.0)]
        assert second["billing_backlog_events"] == [({}, 9.0)]
        assert second["billing_backlog_oldest_seconds"] == [({}, 2.5)]
        assert second["billing_breaker_open"] == [({}, 1.0)]

    def test_an_unknown_value_has_no_series_rather_than_a_false_0(self) -> None:
        scrape = series(render(build_metrics(), SharedStateCollector(SharedState)))

        assert "billing_dead_letters" not in scrape

    def test_what_was_paid_for_and_grants_nothing_is_counted_by_reason(self) -> None:
        state = SharedState(unsold={"unknown_price": 2, "no_user": 0})
        scrape = series(render(build_metrics(), SharedStateCollector(lambda: state)))

        assert scrape["billing_unsold_prices"] == [
            ({"reason": "unknown_price"}, 2.0),
            ({"reason": "no_user"}, 0.0),
        ]

    def test_a_fault_of_the_surroundings_has_the_server_s_code_and_otherwise_0(self) -> None:
        states = iter(
            [
                SharedState(fault_of_surroundings="42703"),
                SharedState(fault_of_surroundings=""),
                SharedState(),
            ]
        )
        shared = SharedStateCollector(lambda: next(states))

        broken, mended, unknown = (series(render(build_metrics(), shared)) for _ in range(3))

        assert broken["billing_surroundings_fault"] == [({"sqlstate": "42703"}, 1.0)]
        assert mended["billing_surroundings_fault"] == [({"sqlstate": "none"}, 0.0)]
        assert "billing_surroundings_fault" not in unknown


class TestDisks:
    def test_each_disk_is_measured_under_everything_that_it_holds(self, tmp_path: Path) -> None:
        (tmp_path / "redis").mkdir()

        scrape = series(render(build_metrics(), DiskCollector(tmp_path)))

        free = shutil.disk_usage(tmp_path)
        for holds, value in scrape["billing_disk_free_bytes"]:
            assert holds["holds"] in {"data", "redis"}
            assert 0 < value <= free.total
        assert [holds for holds, _ in scrape["billing_disk_low"]] == [
            {"holds": "data"},
            {"holds": "redis"},
        ]


class TestFingerprint:
    def test_it_is_the_same_everywhere_and_reveals_nothing_of_the_secret(self) -> None:
        assert secret_fingerprint("whsec_a") == secret_fingerprint("whsec_a")
        assert secret_fingerprint("whsec_a") != secret_fingerprint("whsec_b")
        assert "whsec" not in secret_fingerprint("whsec_a")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class TestLogging:
    @pytest.fixture(autouse=True)
    def restored(self) -> Iterator[None]:
        root = logging.getLogger()
        handlers, level = root.handlers[:], root.level
        yield
        structlog.reset_defaults()
        root.handlers[:] = handlers
        root.setLevel(level)

    def test_outside_a_terminal_each_line_is_a_document(self) -> None:
        stream = io.StringIO()
        configure_logging(stream)

        structlog.stdlib.get_logger("paidup").info("event settled", event_id="evt_1")

        line = json.loads(stream.getvalue())
        assert line["event"] == "event settled"
        assert line["event_id"] == "evt_1"
        assert line["level"] == "info"
        assert line["timestamp"].endswith("Z")

    def test_lines_of_libraries_are_documents_too(self) -> None:
        stream = io.StringIO()
        configure_logging(stream)

        logging.getLogger("celery").warning("broker %s", "gone")

        assert json.loads(stream.getvalue())["event"] == "broker gone"

    def test_in_a_terminal_lines_are_plain_text(self) -> None:
        stream = Terminal()
        configure_logging(stream)

        structlog.stdlib.get_logger("paidup").info("event settled", event_id="evt_1")

        assert "event settled" in stream.getvalue()
        assert not stream.getvalue().startswith("{")

    @pytest.mark.parametrize("stream", [io.StringIO(), Terminal()], ids=["pipe", "terminal"])
    def test_a_traceback_shows_no_local_variable(self, stream: io.StringIO) -> None:
        configure_logging(stream)

        try:
            _fail("whsec_" + "hidden")
        except ValueError:
            structlog.stdlib.get_logger("paidup").exception("it failed")

        assert "ValueError" in stream.getvalue()
        assert "whsec_hidden" not in stream.getvalue()

    def test_lines_below_the_level_are_not_written(self) -> None:
        stream = io.StringIO()
        configure_logging(stream, level="warning")

        structlog.stdlib.get_logger("paidup").info("quiet")
        logging.getLogger("celery").info("quiet")

        assert not stream.getvalue()

    def test_text_that_cannot_be_encoded_is_written_all_the_same(self) -> None:
        stream = io.StringIO()
        configure_logging(stream)

        structlog.stdlib.get_logger("paidup").info("odd", text="\ud800\x00")

        assert json.loads(stream.getvalue())["text"] == "\ud800\x00"

    def test_a_log_without_room_does_not_change_the_exit_code(self, tmp_path: Path) -> None:
        with (tmp_path / "log").open("wb") as log:
            command = with_short_files([sys.executable, "-c", _LOG_TOO_MUCH])
            buffered = {**os.environ, "PYTHONUNBUFFERED": ""}
            ended = subprocess.run(command, env=buffered, stderr=log, timeout=60, check=False)

        assert (tmp_path / "log").stat().st_size == SHORT_FILE_BYTES
        assert ended.returncode == 0


_LOG_TOO_MUCH = """
import sys
from runtime.telemetry import configure_logging, structlog
configure_logging(sys.stderr)
for number in range(500):
    structlog.stdlib.get_logger("paidup").info("a line of a log", number=number)
"""


def _fail(secret: str) -> None:
    raise ValueError(len(secret))
