"""Drills about comparisons with Stripe, with a Stripe of our own on loopback."""

import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from bench.drills.drill import Drill
from bench.drills.site import DrillSite, lifecycle
from ops.errors import CommandFailed
from ops.up.servers.parent_watch import ParentWatch
from ops.up.servers.ports import LOOPBACK, free_port
from ops.up.services import WorkerService
from tests.stripe.server import KEY, serving

JOB: Final = "paidup-worker"
_HOUR: Final = 3600


@contextmanager
def event_never_arrived(site: DrillSite) -> Iterator[None]:
    """Have Stripe list an event that was not delivered, compare, and deliver it."""
    *arrived, missing = lifecycle("first_paid").events
    site.send(arrived)
    # An hour later it is no event any more that may still arrive.
    with serving(clock=lambda: time.time() + _HOUR) as stripe:
        for event in (*arrived, missing):
            stripe.account.learn(event.payload)
        key = {"STRIPE_API_KEY": KEY, "STRIPE_API_BASE": stripe.url, "PAIDUP_LIVEMODE": "test"}
        try:
            with suppress(CommandFailed):  # something differs, so it exits with 1
                site.command("reconcile", "--events-only", **key)
            yield
        finally:
            site.send([missing])
            site.until_settled()


@contextmanager
def nothing_is_compared(site: DrillSite) -> Iterator[None]:
    """Run one more worker, with a key and so with a schedule that nobody follows."""
    with tempfile.TemporaryDirectory(prefix="paidup-drill-") as name:
        watch = ParentWatch(Path(name))
        data_dir = Path(name) / "worker"
        data_dir.mkdir()
        url = f"http://{LOOPBACK}:{free_port()}"
        added = {
            "PAIDUP_DATA_DIR": str(data_dir),
            "PAIDUP_WORKER_METRICS_BIND": url.removeprefix("http://"),
            "PAIDUP_WORKER_PROCESSES": "1",
            "STRIPE_API_KEY": KEY,
            "STRIPE_API_BASE": f"http://{LOOPBACK}:{free_port()}",
        }
        worker = WorkerService(
            data_dir=data_dir, environ={**site.environ(), **added}, ready_url=f"{url}/metrics"
        )
        try:
            worker.start()
            with site.prometheus.scraping(JOB, url):
                site.until(site.prometheus.is_ready, "Prometheus scrapes one more worker")
                yield
        finally:
            worker.stop()
            watch.release()


DISAGREES_WITH_STRIPE = Drill(
    alert="PaidupDisagreesWithStripe",
    does="has a Stripe of our own list an event that was not delivered, and delivers it",
    cause=event_never_arrived,
    page="/reconcile",
)
RECONCILE_LATE = Drill(
    alert="PaidupReconcileLate",
    does="starts one more worker whose key asks a Stripe that nobody runs, and stops it",
    cause=nothing_is_compared,
    page="/reconcile",
)
