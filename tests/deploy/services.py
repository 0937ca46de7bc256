"""Ask services that a test has started from files of deployment: deliver, read, count rows."""

import json
import time
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import psycopg

from ops.send.delivery import sign


def wait_until(reached: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 120
    while not reached():
        assert time.monotonic() < deadline, f"{what} did not happen"
        time.sleep(0.05)


def post(url: str, body: bytes, secret: str) -> int:
    """Deliver one event as Stripe does; return the status of the answer."""
    headers = {
        "Stripe-Signature": sign(body, secret, int(time.time())),
        "Content-Type": "application/json",
    }
    request = urllib.request.Request(url, data=body, headers=headers)  # noqa: S310 - loopback
    with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310 - loopback
        return int(answer.status)


def ready(port: int) -> bool:
    return answers(f"http://127.0.0.1:{port}/readyz", timeout=2)


def answers(url: str, *, timeout: float) -> bool:
    """Return True if a URL answers 200 in time."""
    with suppress(OSError), urllib.request.urlopen(url, timeout=timeout) as answer:  # noqa: S310 - loopback
        return bool(answer.status == 200)
    return False


def read(port: int, user_id: str, token: str) -> Any:
    """Read entitlements over HTTP, as an application does."""
    url = f"http://127.0.0.1:{port}/v1/users/{user_id}/entitlements"
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"})
    with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310 - loopback
        return json.load(answer)


def count(database: "psycopg.Connection[tuple[Any, ...]]") -> int:
    found = database.execute("select count(*) from stripe_events").fetchone()
    return int(found[0]) if found else 0
