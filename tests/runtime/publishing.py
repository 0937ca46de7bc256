"""Publish wake-ups, and tell how long it took."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

import kombu.pools
from celery import Celery

from runtime.broker import Role, WakePublisher, make_celery
from runtime.settings import Settings

BOUND_SECONDS = 3.0
"""Several times the bound of a publish, which a busy machine may stretch; without one it hangs."""


def celery_for(url: str, role: Role = "publisher") -> Celery:
    """Return an application whose broker has this URL."""
    return make_celery(Settings.from_env({"CELERY_BROKER_URL": url}), role=role)


@contextmanager
def publisher(url: str) -> Iterator[WakePublisher]:
    """Yield a publisher, and leave none of its connections behind."""
    app = celery_for(url)
    yield WakePublisher(app)
    app.close()
    kombu.pools.reset()


def timed(wakes: WakePublisher) -> tuple[bool, float]:
    """Return whether a wake-up was taken, and the seconds until that was known."""
    began = time.monotonic()
    published = wakes.publish("token")
    return published, time.monotonic() - began
