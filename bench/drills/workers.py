"""Drills about processes: frozen pools, a frozen worker, a frozen ingest, late events."""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event
from typing import Final

from bench.drills.drill import Drill
from bench.drills.site import LOOK_SECONDS, DrillSite, repeatedly

_LATE_SECONDS: Final = 16.0
"""Above the bucket of the histogram that ends at 15 s, so that no interpolation says less."""
_LATE_LIFECYCLES: Final = 4
"""More than 20 events, which the alert asks for."""


@contextmanager
def pools_frozen(site: DrillSite) -> Iterator[None]:
    """Freeze all processes that take events, and send some."""
    try:
        with site.frozen_pools():
            site.send_one()
            yield
    finally:
        site.until_settled()


@contextmanager
def worker_frozen(site: DrillSite) -> Iterator[None]:
    """Freeze the worker, its supervisor included, so that it is announced no longer."""
    try:
        with site.frozen("worker"):
            site.send_one()
            yield
    finally:
        site.until_settled()


@contextmanager
def events_held_up(site: DrillSite) -> Iterator[None]:
    """Let events wait before they are applied, one wave after the other."""

    def wave(stopped: Event) -> None:
        with site.frozen_pools():
            for _ in range(_LATE_LIFECYCLES):
                site.send_one()
            while site.backlog().waiting_seconds < _LATE_SECONDS and not stopped.is_set():
                stopped.wait(LOOK_SECONDS)
        while not site.all_settled() and not stopped.is_set():
            stopped.wait(LOOK_SECONDS)

    try:
        with repeatedly(wave):
            yield
    finally:
        site.until_settled()


@contextmanager
def ingest_frozen(site: DrillSite) -> Iterator[None]:
    """Freeze ingest, so that it answers neither Stripe nor a scrape."""
    with site.frozen("ingest"):
        yield


OLDEST_EVENT_TOO_OLD = Drill(
    alert="PaidupOldestEventTooOld",
    does="freezes all processes that take events, sends some, and continues the processes",
    cause=pools_frozen,
    page="/",
    along=frozenset({"PaidupWorkersNotConsuming"}),
)
WORKERS_NOT_CONSUMING = Drill(
    alert="PaidupWorkersNotConsuming",
    does="freezes the processes of the pool while their supervisor lives, and continues them",
    cause=pools_frozen,
    page="/",
    along=frozenset({"PaidupOldestEventTooOld"}),
)
TOO_FEW_WORKERS = Drill(
    alert="PaidupTooFewWorkers",
    does="freezes the worker with its supervisor, so that no worker is left, and continues it",
    cause=worker_frozen,
    page="/",
    along=frozenset({"PaidupDown", "PaidupOldestEventTooOld"}),
)
LAG = Drill(
    alert="PaidupLag",
    does="lets waves of events wait for 16 s before they are applied",
    cause=events_held_up,
    page="/",
)
DOWN = Drill(
    alert="PaidupDown",
    does="freezes ingest, which then answers neither Stripe nor Prometheus, and continues it",
    cause=ingest_frozen,
    page="/",
)
