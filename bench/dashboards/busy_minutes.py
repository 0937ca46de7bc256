"""Keep a shop busy for some minutes, so that each dashboard has something to show.

Lifecycles arrive at a steady rate and applications read. Beside that there is a burst, a surge of
bad signatures, deliveries to a wrong path, and a while in which PostgreSQL answers nothing.
"""

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import islice
from typing import Final
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from bench.soak.sending import Sending, Waves
from ops.send.delivery import DeliveryClient
from ops.send.endpoint import Endpoint
from tests.browser.sample_shop import GRANTED, SampleShop

RATE: Final = 25.0
BURST_EVENTS: Final = 8000
BURST_RATE: Final = 1000.0
FROZEN_SECONDS: Final = 25.0
_BAD_SIGNATURES: Final = 60
_WRONG_PATHS: Final = 8
_READS: Final = 5
"""In each second."""


class NotSent(Exception):
    """The shop could not be kept busy, so there is nothing to draw."""


Happening = tuple[float, Callable[[SampleShop], None]]
"""The share of the time after which something begins, and what does it."""


def keep_busy(shop: SampleShop, seconds: float) -> None:
    """Send and read for so long; return when everything was accepted.

    Raises:
        NotSent: an event was declined.
    """
    steady = _sending(shop, RATE)
    steady.start(islice(Waves(1, lambda: False).deliveries(), round(RATE * seconds)))
    began = time.monotonic()
    for share, happen in _HAPPENINGS:
        _read_until(shop, began + share * seconds)
        happen(shop)
    _read_until(shop, began + seconds)
    while steady.going_on:
        _read(shop)
    if problems := steady.answers.problems:
        raise NotSent(problems[0])


def _sending(shop: SampleShop, rate: float) -> Sending:
    return Sending(shop.system.endpoint, shop.system.secret, rate)


def _burst(shop: SampleShop) -> None:
    burst = _sending(shop, BURST_RATE)
    burst.start(islice(Waves(2, lambda: False).deliveries(), BURST_EVENTS))
    while burst.going_on:
        _read(shop)


def _go_wrong(shop: SampleShop) -> None:
    """Send what ingest refuses."""
    body = next(iter(Waves(3, lambda: False).deliveries())).body
    for _ in range(_BAD_SIGNATURES):
        shop.system.post(body, signature=f"t={int(time.time())},v1={'0' * 64}")
    wrong = Endpoint.at(f"{shop.system.stack.ingest_url}/stripe")
    client = DeliveryClient(wrong, shop.system.secret)
    for _ in range(_WRONG_PATHS):
        client.post(body)
    client.close()


def _freeze_postgres(shop: SampleShop) -> None:
    postgres = shop.system.stack.postgres
    if postgres is None:
        raise NotSent("the stack has no PostgreSQL of its own")
    postgres.freeze()
    try:
        time.sleep(FROZEN_SECONDS)
    finally:
        postgres.thaw()


_HAPPENINGS: Final[Sequence[Happening]] = (
    (0.2, _burst),
    (0.45, _go_wrong),
    (0.6, _freeze_postgres),
)


def _read_until(shop: SampleShop, ends: float) -> None:
    while time.monotonic() < ends:
        _read(shop)


def _read(shop: SampleShop) -> None:
    """Read as an application does, for a second."""
    user = GRANTED[0]
    request = Request(  # noqa: S310 - loopback
        f"{shop.url}/v1/users/{user}/entitlements",
        headers={"Authorization": f"Bearer {shop.tokens['vera']}"},
    )
    for _ in range(_READS):
        with suppress(HTTPError), urlopen(request, timeout=30) as answer:  # noqa: S310 - loopback
            answer.read()
        time.sleep(1 / _READS)
