"""A Prometheus with the shipped alerts, for the time of one drill."""

import json
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from ops.up.servers.ports import LOOPBACK, free_port
from ops.up.servers.process import Process
from tests.prometheus_api import PrometheusApi

ALERTS: Final = Path(__file__).parents[2] / "deploy" / "prometheus" / "alerts.yml"
PROGRAM: Final = "prometheus"
BACKFILL: Final = ("promtool", "tsdb", "create-blocks-from", "openmetrics")
JOBS: Final = ("paidup-ingest", "paidup-console", "paidup-worker")
"""The jobs of deploy/prometheus/prometheus.yml, which the alerts name."""

# With the shipped five seconds each step of a drill would take seconds longer, and an alert that
# looks at the last minute would have few samples. A busy machine may answer a scrape after more
# than a second. The alerts are those that are shipped, with the same times.
_CONFIG: Final = """\
global:
  scrape_interval: 2s
  scrape_timeout: 2s
  evaluation_interval: 1s
rule_files: [{alerts}]
scrape_configs:
"""
_JOB: Final = """\
  - job_name: {job}
    file_sd_configs:
      - files: [{targets}]
        refresh_interval: 1s
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class ActiveAlert:
    """An alert that is pending or firing."""

    name: str
    state: str
    summary: str
    runbook: str


class DrillPrometheus(Process):
    """Debian's Prometheus on a folder and a port of its own."""

    name = "prometheus"
    may_move = True

    def __init__(
        self, folder: Path, targets: Mapping[str, Sequence[str]], *, past: str = ""
    ) -> None:
        """Take the URLs of each job, and samples of the past as OpenMetrics."""
        super().__init__(folder=folder, run=folder, log=folder / "prometheus.log")
        self._port = free_port()
        self._api = PrometheusApi(self._port)
        self._targets = {job: list(targets.get(job, ())) for job in JOBS}
        self._past = past

    def command(self) -> Sequence[str | Path]:
        """Return the argument vector."""
        return (
            PROGRAM,
            f"--config.file={self.folder / 'prometheus.yml'}",
            f"--storage.tsdb.path={self.folder / 'data'}",
            f"--web.listen-address={LOOPBACK}:{self._port}",
            "--scrape.discovery-reload-interval=1s",
            "--log.level=warn",
        )

    def prepare(self) -> None:
        """Write the configuration, and the targets of each job."""
        jobs = (_JOB.format(job=job, targets=self._targets_of(job)) for job in JOBS)
        config = _CONFIG.format(alerts=ALERTS) + "".join(jobs)
        (self.folder / "prometheus.yml").write_text(config, encoding="utf-8")
        for job in JOBS:
            self._write_targets(job)
        if self._past:
            self._keep_past()

    def is_ready(self) -> bool:
        """Return True if it answers, and every target has been scraped."""
        with suppress(OSError, ValueError):
            found = self._api.ask("targets")["activeTargets"]
            scraped: int = sum(each["health"] == "up" for each in found)
            return scraped == sum(map(len, self._targets.values()))
        return False

    def evaluated_at(self) -> datetime:
        """Return the time of the last evaluation of all rules."""
        groups = self._api.ask("rules")["groups"]
        return min(datetime.fromisoformat(each["lastEvaluation"]) for each in groups)

    @contextmanager
    def scraping(self, job: str, url: str) -> Iterator[None]:
        """Scrape one more process for the time of a block."""
        self._targets[job].append(url)
        self._write_targets(job)
        try:
            yield
        finally:
            self._targets[job].remove(url)
            self._write_targets(job)

    def active(self) -> Mapping[str, ActiveAlert]:
        """Return the alerts that are pending or firing, by name."""
        return {
            (name := each["labels"]["alertname"]): ActiveAlert(
                name=name,
                state=each["state"],
                summary=each["annotations"].get("summary", ""),
                runbook=each["annotations"].get("runbook", ""),
            )
            for each in sorted(
                self._api.ask("alerts")["alerts"], key=lambda each: each["state"] == "firing"
            )
        }

    def _keep_past(self) -> None:
        """Write the samples of the past as Prometheus would have kept them."""
        past = self.folder / "past.txt"
        past.write_text(self._past, encoding="utf-8")
        subprocess.run(  # noqa: S603 - its own program
            [*BACKFILL, past, self.folder / "data"],
            check=True,
            capture_output=True,
            start_new_session=True,
        )

    def _targets_of(self, job: str) -> Path:
        return self.folder / f"{job}.json"

    def _write_targets(self, job: str) -> None:
        hosts = [urlsplit(url).netloc for url in self._targets[job]]
        whole = self._targets_of(job)
        part = whole.with_suffix(".part")
        part.write_text(json.dumps([{"targets": hosts}]), encoding="utf-8")
        part.replace(whole)
