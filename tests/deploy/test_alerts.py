"""Each alert asks for series that exist, is tried by promtool, and has its section of a page."""

import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from models.stripe_runs import DIFFERENCE_CLASSES
from runtime.reconciling import ComparedPart, late_at
from runtime.telemetry import (
    DiskCollector,
    SharedState,
    SharedStateCollector,
    build_metrics,
    render,
)
from tests.test_readme import anchors

ROOT: Final = Path(__file__).parents[2]
FOLDER: Final = ROOT / "deploy/prometheus"
PAGE: Final = ROOT / "docs/operations.md"
CASES: Final = ("alerts_test.yml", "alerts_test_days.yml")
PAGES: Final = {
    *("PaidupChangesNotNumbered", "PaidupDataWentBack", "PaidupDisagreesWithStripe", "PaidupDown"),
    "PaidupInboxFillsUp",
    *("PaidupIngestErrors", "PaidupLag", "PaidupOldestEventTooOld", "PaidupServerStuck"),
    "PaidupWorkersNotConsuming",
}
INFORMS: Final = {
    *("PaidupApprovalBypassed", "PaidupBadSignatures", "PaidupBreakerOpen", "PaidupDeadLetters"),
    *("PaidupDisagreesWithStripe", "PaidupDiskLow", "PaidupReconcileLate"),
    *("PaidupRedisUnsafe", "PaidupSecretUnused", "PaidupServerStuck"),
    *("PaidupTooFewWorkers", "PaidupUnsoldPrices", "PaidupWrongPath"),
}
SELECTOR: Final = re.compile(r"\b(up|(?:billing|idempotent)_\w+)(?:\{([^}]*)\})?")
MATCHER: Final = re.compile(r'(\w+)(=~|!~|!=|=)"([^"]*)"')
SECTION: Final = re.compile(r"^#{2,3} ", re.MULTILINE)


def rules() -> list[dict[str, Any]]:
    (group,) = yaml.safe_load((FOLDER / "alerts.yml").read_text())["groups"]
    return list(group["rules"])


def title(rule: Mapping[str, Any]) -> str:
    server = rule["labels"].get("server")
    return f"{rule['alert']} of {server}" if server else str(rule["alert"])


each_rule = pytest.mark.parametrize("rule", rules(), ids=title)


def full_state() -> SharedState:
    """Return a state in which every number is known, so that every series of it is served."""
    numbers = dict.fromkeys(SharedState.__dataclass_fields__, 1)
    given = numbers | {
        "unsold": {"no_user": 1},
        "reconcile_differences": dict.fromkeys(DIFFERENCE_CLASSES, 1),
        "reconcile_runs_at": dict.fromkeys(ComparedPart, 1.0),
        "api_requests": {},
        "api_reads": {"live": 1},
        "fault_of_surroundings": "42703",
    }
    return SharedState(**given)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, list[dict[str, str]]]:
    """Return the labels of each series that Paidup or Prometheus itself makes, by name."""
    metrics = build_metrics(secrets=["0a1b"], event_types=["invoice.paid"])
    shared = SharedStateCollector(full_state), DiskCollector(tmp_path_factory.mktemp("data"))
    found: dict[str, list[dict[str, str]]] = {"up": [{"job": name} for name in scraped_jobs()]}
    for family in text_string_to_metric_families(render(metrics, *shared).decode()):
        for sample in family.samples:
            found.setdefault(sample.name, []).append(dict(sample.labels))
    return found


def scraped_jobs() -> list[str]:
    jobs = yaml.safe_load((FOLDER / "prometheus.yml").read_text())["scrape_configs"]
    return [job["job_name"] for job in jobs]


def unknown(expression: str, served: Mapping[str, list[dict[str, str]]]) -> Iterator[str]:
    """Yield what the expression asks for and no process serves: names, labels and their values."""
    for name, matchers in SELECTOR.findall(expression):
        if name not in served:
            yield name
            continue
        for label, operator, value in MATCHER.findall(matchers):
            values = {labels.get(label) for labels in served[name]}
            known = re.compile(value) if "~" in operator else re.compile(re.escape(value))
            if not any(known.fullmatch(each or "") for each in values):
                yield f"{name}{{{label}{operator}{value}}}"


def section(anchor: str) -> str:
    """Return the section of the operations page under an anchor, its subsections left out."""
    for part in SECTION.split(PAGE.read_text()):
        heading = part.partition("\n")[0]
        if re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") == anchor:
            return part
    return ""


def test_symptoms_page_and_causes_inform() -> None:
    by_severity = {
        severity: {rule["alert"] for rule in rules() if rule["labels"]["severity"] == severity}
        for severity in ("page", "inform")
    }

    assert by_severity == {"page": PAGES, "inform": INFORMS}
    assert {rule["labels"]["severity"] for rule in rules()} == {"page", "inform"}


@each_rule
def test_each_alert_is_one_sentence_and_names_the_section_that_helps(rule: dict[str, Any]) -> None:
    summary, runbook = rule["annotations"]["summary"], rule["annotations"]["runbook"]
    page, _, anchor = runbook.partition("#")

    assert re.fullmatch(r"[^.]*(\{\{[^}]*\}\}[^.]*)*\.", summary)
    assert page == "docs/operations.md"
    assert anchor in anchors(PAGE)


@each_rule
def test_the_section_of_each_alert_names_it_and_its_drill(rule: dict[str, Any]) -> None:
    words = re.findall(r"[A-Z][a-z]+", rule["alert"].removeprefix("Paidup"))
    text = section(rule["annotations"]["runbook"].partition("#")[2])

    assert f"`{rule['alert']}`" in text
    assert f"`make drill NAME={'-'.join(words).lower()}`" in text


@each_rule
def test_each_alert_asks_for_series_that_are_served(
    rule: dict[str, Any], served: Mapping[str, list[dict[str, str]]]
) -> None:
    assert SELECTOR.findall(rule["expr"])
    assert list(unknown(rule["expr"], served)) == []


def test_a_comparison_is_late_when_doctor_says_so() -> None:
    (late,) = (rule["expr"] for rule in rules() if rule["alert"] == "PaidupReconcileLate")

    found = re.findall(r'part="(\w+)"\}\) > (\d+)', late)
    assert {ComparedPart(part): timedelta(seconds=int(age)) for part, age in found} == {
        part: late_at(part) for part in ComparedPart
    }


@pytest.mark.parametrize(
    ("expression", "says"),
    [
        ("max(billing_backlog_ages) > 1", "billing_backlog_ages"),
        (
            'rate(billing_webhook_received_total{result="refuse"}[5m])',
            "billing_webhook_received_total{result=refuse}",
        ),
        ('up{job=~"paidup-(store|shop)"} == 0', "up{job=~paidup-(store|shop)}"),
    ],
)
def test_a_series_that_nothing_serves_would_be_found(
    served: Mapping[str, list[dict[str, str]]], expression: str, says: str
) -> None:
    assert list(unknown(expression, served)) == [says]


@each_rule
def test_each_alert_has_a_case_that_fires_and_a_near_miss(rule: dict[str, Any]) -> None:
    fires, silent = 0, 0
    for name in CASES:
        for case in yaml.safe_load((FOLDER / name).read_text())["tests"]:
            for look in case["alert_rule_test"]:
                if look["alertname"] == rule["alert"]:
                    fired = [each["exp_labels"] for each in look["exp_alerts"]]
                    fires += any(rule["labels"].items() <= labels.items() for labels in fired)
                    silent += not fired

    assert (fires > 0, silent > 0) == (True, True)


@pytest.mark.skipif(shutil.which("promtool") is None, reason="needs Debian's prometheus")
@pytest.mark.parametrize(
    "arguments",
    [
        ("check", "rules", "alerts.yml"),
        # Playing every case takes promtool half a minute: too long for `make check`.
        pytest.param(("test", "rules", *CASES), marks=pytest.mark.servers),
    ],
)
def test_promtool_takes_the_rules_and_their_cases(arguments: tuple[str, ...]) -> None:
    done = subprocess.run(
        ["promtool", *arguments], cwd=FOLDER, capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stdout + done.stderr
