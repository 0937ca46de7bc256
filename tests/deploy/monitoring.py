"""Debian's Prometheus and Alertmanager with the shipped configuration, on loopback.

Only the addresses of what they reach are replaced; a replacement that does not match fails.
"""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, Self

import pytest

from ops.up.servers.ports import LOOPBACK, free_port
from ops.up.stack import Stack
from tests.deploy.proxies import substituted
from tests.prometheus_api import PrometheusApi
from tests.workers.waiting import until

DEPLOY = Path(__file__).parents[2] / "deploy"
PROMETHEUS, ALERTMANAGER = "prometheus", "prometheus-alertmanager"
PROGRAMS = (PROMETHEUS, "promtool", ALERTMANAGER, "amtool")

needs_monitoring = pytest.mark.skipif(
    any(shutil.which(name) is None for name in PROGRAMS),
    reason="needs Debian's prometheus and prometheus-alertmanager",
)

_SHIPPED_WORKERS = """\
    dns_sd_configs:
      - names: ["worker"]
        type: A
        port: 9101
        refresh_interval: 5s
"""


@contextmanager
def prometheus_watching(
    stack: Stack, folder: Path, *, alertmanager: int, more_rules: str = ""
) -> Iterator[PrometheusApi]:
    """Run Prometheus on a stack; ``alertmanager`` is a port of loopback."""
    port = free_port()
    rules = ["alerts.yml", "more.yml"] if more_rules else ["alerts.yml"]
    settings = stack.settings
    shipped = (DEPLOY / "prometheus" / "prometheus.yml").read_text()
    assert shipped.count('"alertmanager:9093"') == 2
    text = substituted(
        shipped.replace('"alertmanager:9093"', f'"{LOOPBACK}:{alertmanager}"'),
        {
            '["alerts.yml"]': json.dumps(rules),
            '"ingest:8000"': f'"{LOOPBACK}:{settings.ingest_bind.port}"',
            '"console:8001"': f'"{LOOPBACK}:{settings.console_bind.port}"',
            _SHIPPED_WORKERS: (
                "    static_configs:\n"
                f'      - targets: ["{LOOPBACK}:{settings.worker_metrics_bind.port}"]\n'
            ),
        },
    )
    folder.mkdir()
    (folder / "prometheus.yml").write_text(text)
    (folder / "more.yml").write_text(more_rules)
    shutil.copy(DEPLOY / "prometheus" / "alerts.yml", folder)
    command = [
        *(PROMETHEUS, f"--config.file={folder / 'prometheus.yml'}"),
        *(f"--storage.tsdb.path={folder / 'data'}", f"--web.listen-address={LOOPBACK}:{port}"),
    ]
    server = PrometheusApi(port)
    with _running(command, folder / "log"):
        until(server.is_ready, seconds=30, why=f"Prometheus answers; see {folder / 'log'}")
        yield server


@contextmanager
def alertmanager_notifying(
    receivers: Mapping[str, str], folder: Path, changes: Mapping[str, str] | None = None
) -> Iterator[int]:
    """Run Alertmanager by its start script and yield its port; receivers have URLs.

    ``changes`` are substitutions in the shipped configuration.
    """
    port = free_port()
    folder.mkdir()
    script = configured(folder, changes)
    options = [f"--storage.path={folder / 'data'}", f"--web.listen-address={LOOPBACK}:{port}"]
    environ = environment_of(receivers, folder) | {"ALERTMANAGER": ALERTMANAGER}
    with _running(["sh", str(script), *options], folder / "log", environ):
        yield port


def configured(folder: Path, changes: Mapping[str, str] | None = None) -> Path:
    """Copy the configuration of Alertmanager, with these substitutions; return the start script."""
    shutil.copytree(DEPLOY / "alertmanager", folder / "shipped")
    path = folder / "shipped" / "alertmanager.yml"
    path.write_text(substituted(path.read_text(), changes or {}))
    return folder / "shipped" / "start.sh"


def environment_of(receivers: Mapping[str, str], folder: Path) -> dict[str, str]:
    """Return the environment that docker-compose.yml gives the start script, and its folder."""
    given = {f"PAIDUP_ALERT_{name.upper()}_URL": url for name, url in receivers.items()}
    return {"PATH": os.environ["PATH"], "ALERTMANAGER_RUN_DIR": str(folder), **given}


@contextmanager
def _running(
    command: Sequence[str], log: Path, environ: Mapping[str, str] | None = None
) -> Iterator[None]:
    with log.open("wb") as written:
        process = subprocess.Popen(command, stdout=written, stderr=written, env=environ)
    try:
        yield
    finally:
        process.terminate()
        process.wait(30)


class AlertReceiver:
    """An HTTP server in the place of what pages people; it keeps what it gets by path."""

    def __init__(self) -> None:
        posted: list[tuple[str, Any]] = []
        self.posted = posted

        class _Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                posted.append((self.path, json.loads(body)))
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Print nothing."""

        self._server = ThreadingHTTPServer((LOOPBACK, 0), _Handler)
        self._thread = Thread(target=self._server.serve_forever)

    def url(self, path: str) -> str:
        """Return the URL that ends with this path."""
        return f"http://{LOOPBACK}:{self._server.server_port}/{path}"

    def alerts(self, path: str) -> set[str]:
        """Return the names of the alerts that came in under a path."""
        return {
            alert["labels"]["alertname"]
            for came, document in list(self.posted)
            if came == f"/{path}"
            for alert in document["alerts"]
        }

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
