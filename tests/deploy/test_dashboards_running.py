"""Every query of every dashboard is answered by a Prometheus that scrapes a running stack."""

import math
import re
import shutil
import time
import urllib.request
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from urllib.error import HTTPError

import pytest

from bench.dashboards.__main__ import picture_of
from bench.dashboards.drawing import PictureTimes
from bench.dashboards.reading import GrafanaDashboard, PanelQuery, read_dashboards
from ops.samples.api_shapes import Shape
from ops.samples.lifecycles.registry import compose
from ops.send.delivery import DeliveryClient
from ops.send.endpoint import Endpoint
from ops.up.servers.account import temporary_folder
from tests.deploy.monitoring import (
    AlertReceiver,
    alertmanager_notifying,
    needs_monitoring,
    prometheus_watching,
)
from tests.prometheus_api import PrometheusApi
from tests.system.stack_env import StackUnderTest, running_system
from tests.workers.waiting import until

pytestmark = [pytest.mark.servers, needs_monitoring]

DASHBOARDS = read_dashboards()
LIFECYCLES = ("paid_checkout", "first_paid", "refund_full", "dispute_lost")
SILENT = {
    "billing_redis_replicas_confirmed": "PAIDUP_REDIS_REPLICAS wants none",
    "billing_fetch_seconds": "without a key, Stripe's API is not called",
    "billing_inbox_full_in_seconds <": "the inbox fills in a day at the earliest",
    "billing_reconcile_run_timestamp_seconds >": "without a key, nothing is compared",
    "billing_reconcile_agreed_timestamp_seconds >": "without a key, nothing is compared",
}
"""What has no value on this stack, and why."""

JOBS = {"paidup-ingest", "paidup-console", "paidup-worker", "alertmanager"}
LONG = "1h"
"""Longer than this test takes, so that a rate stays above zero."""

SETTLED = f'sum(increase(billing_events_settled_total{{event_type="refund.created"}}[{LONG}]))'
FIRES = "sum(billing_webhook_invalid_sig_total) > 0"
"""Not from the start: what is said before Alertmanager is known is repeated after a minute."""

MORE_RULES = f"""\
groups:
  - name: more
    rules:
      - {{alert: PaidupTestSymptom, expr: {FIRES}, labels: {{severity: page}}}}
      - {{alert: PaidupTestCause, expr: {FIRES}, labels: {{severity: inform}}}}
"""

of_each = pytest.mark.parametrize("dashboard", DASHBOARDS, ids=lambda each: each.name)


@pytest.fixture(scope="module")
def system() -> Iterator[StackUnderTest]:
    folder = temporary_folder("paidup-dashboards-")
    try:
        with running_system(folder) as system:
            yield system
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def receiver() -> Iterator[AlertReceiver]:
    with AlertReceiver() as receiver:
        yield receiver


@pytest.fixture(scope="module")
def prometheus(
    system: StackUnderTest, receiver: AlertReceiver, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[PrometheusApi]:
    """Yield a Prometheus that has seen some lifecycles, and deliveries that were refused."""
    folder = tmp_path_factory.mktemp("monitoring")
    urls = {name: receiver.url(name) for name in ("page", "inform")}
    soon = {"group_wait: 10s": "group_wait: 0s", "group_wait: 1m": "group_wait: 0s"}
    with (
        alertmanager_notifying(urls, folder / "alertmanager", soon) as alertmanager,
        prometheus_watching(
            system.stack,
            folder / "prometheus",
            alertmanager=alertmanager,
            more_rules=MORE_RULES,
        ) as prometheus,
    ):
        until(lambda: set(prometheus.targets().values()) == {"up"}, why="all targets are up")
        deliver(system)
        until(lambda: bool(prometheus.value(SETTLED)), why="Prometheus sees settled events")
        yield prometheus


def deliver(system: StackUnderTest) -> None:
    """Send lifecycles, a repetition, a bad signature, a wrong path; read what a user may do."""
    now = int(time.time())
    played = [compose(name, shape=Shape.NEW, seed=name, now=now) for name in LIFECYCLES]
    events = [event for each in played for event in each.events]
    for event in (*events, events[0]):
        assert system.post(event.body).taken
    system.post(events[0].body, signature="t=1,v1=00")
    with suppress(HTTPError):
        wrong = DeliveryClient(Endpoint.at(f"{system.stack.ingest_url}/wrong"), system.secret)
        wrong.post(events[0].body)
        wrong.close()
    read = urllib.request.Request(  # noqa: S310 - loopback
        f"{system.stack.console_url}/v1/users/{played[0].user_id}/entitlements",
        headers={"Authorization": f"Bearer {system.stack.console_token}"},
    )
    system.await_settled(event.id for event in events)
    with urllib.request.urlopen(read, timeout=30) as answer:  # noqa: S310 - loopback
        assert answer.status == 200


def known(samples: list[object]) -> list[object]:
    return [each for each in samples if not math.isnan(float(each["value"][1]))]  # type: ignore[index]


def test_every_target_of_the_shipped_configuration_is_up(prometheus: PrometheusApi) -> None:
    assert prometheus.targets() == dict.fromkeys(JOBS, "up")


def test_our_rules_are_loaded_and_are_evaluated_without_an_error(
    prometheus: PrometheusApi,
) -> None:
    seen = datetime.now(UTC).isoformat()
    until(
        lambda: all(g["lastEvaluation"] > seen for g in prometheus.ask("rules")["groups"]),
        why="each group is evaluated on what Prometheus has seen",
    )
    groups = {group["name"]: group for group in prometheus.ask("rules")["groups"]}

    assert groups.keys() >= {"paidup", "more"}
    failed = [r["name"] for g in groups.values() for r in g["rules"] if r["health"] == "err"]
    assert failed == []


def test_an_alert_that_fires_reaches_the_receiver_of_its_severity(
    prometheus: PrometheusApi, receiver: AlertReceiver
) -> None:
    until(lambda: "PaidupTestSymptom" in receiver.alerts("page"), why="a page")
    until(lambda: "PaidupTestCause" in receiver.alerts("inform"), why="a note")

    assert "PaidupTestCause" not in receiver.alerts("page")


@of_each
def test_every_query_has_an_answer_with_the_labels_that_it_names(
    prometheus: PrometheusApi, dashboard: GrafanaDashboard
) -> None:
    for query in dashboard.queries():
        if any(series in query.expression for series in SILENT):
            prometheus.samples(query.over(LONG))
            continue
        until(
            lambda query=query: bool(known(prometheus.samples(query.over(LONG)))),  # type: ignore[misc]
            seconds=60,
            why=f"an answer to {query.over(LONG)}",
        )
        for sample in prometheus.samples(query.over(LONG)):
            assert labels_of(query) <= sample["metric"].keys(), query


def labels_of(query: PanelQuery) -> set[str]:
    """Return the labels that the legend shows, and those that the outermost sum keeps."""
    kept = re.match(r"(?:60 \* )?\w+ by \((\w+)\)", query.expression)
    return set(re.findall(r"{{(\w+)}}", query.legend)) | ({kept[1]} if kept else set())


@pytest.mark.parametrize("reason", SILENT)
def test_each_exception_is_one_that_a_dashboard_needs(reason: str) -> None:
    assert any(reason in query.expression for each in DASHBOARDS for query in each.queries())


def test_prometheus_keeps_each_series_that_the_dashboards_are_tested_for(
    prometheus: PrometheusApi,
) -> None:
    names = {name for name in prometheus.ask("label/__name__/values") if "billing_" in name}
    asked = "\n".join(query.expression for each in DASHBOARDS for query in each.queries())
    families = {re.sub(r"_(bucket|sum|count)$", "", name) for name in names}

    assert families
    assert [name for name in families if name not in asked] == []


@of_each
def test_a_picture_can_be_drawn_of_it(
    prometheus: PrometheusApi, dashboard: GrafanaDashboard
) -> None:
    now = time.time()

    picture = picture_of(dashboard, prometheus, PictureTimes(start=now - 60, end=now, step=5))

    texts = set(ET.fromstring(picture).itertext())  # noqa: S314 - our own
    assert {panel.title for panel in dashboard.panels} <= texts
    assert len(re.findall("<polyline", picture)) > 5
