"""Drills about what reaches ingest: refused, wrongly signed, at a wrong path, by an old secret."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event
from typing import Final

from bench.drills.drill import Drill
from bench.drills.extra_ingest import extra_ingest
from bench.drills.servers import unsafe_setting
from bench.drills.site import DrillSite, lifecycle, repeatedly
from ops.send.delivery import BUSY
from runtime.telemetry import secret_fingerprint

WRONG_SECRET: Final = "whsec_drill_of_another_endpoint"  # noqa: S105 - it opens nothing
RETIRED_SECRET: Final = "whsec_drill_retired"  # noqa: S105 - same
_WRONG_PATH: Final = "/webhooks/drill"
_REFUSED_AT_ONCE: Final = 5
_BAD: Final = 20
_GOOD_FOR_EACH_BAD: Final = 15
"""With ten or fewer, a tenth of all deliveries or more would still be bad."""
_WEEK: Final = 7 * 86_400


@contextmanager
def deliveries_refused(site: DrillSite) -> Iterator[None]:
    """Make Redis unsafe, so that ingest answers 503, and deliver meanwhile."""
    events = lifecycle("first_paid").events

    def deliver(_stopped: Event) -> None:
        with site.client() as client:
            for event in events[:_REFUSED_AT_ONCE]:
                client.post(event.body)

    def is_refused() -> bool:
        with site.client() as client:
            return client.post(events[0].body).status == BUSY

    try:
        with unsafe_setting(site):
            site.until(is_refused, "ingest answers 503")
            with repeatedly(deliver):
                yield
    finally:
        # As Stripe does, which keeps what got a 503.
        site.send(events)
        site.until_settled()


@contextmanager
def wrongly_signed(site: DrillSite) -> Iterator[None]:
    """Sign deliveries with the secret of another endpoint, then as many as it takes rightly."""
    event = lifecycle("first_paid").events[0]
    with site.client(secret=WRONG_SECRET) as client:
        for _ in range(_BAD):
            client.post(event.body)
    try:
        yield
    finally:
        site.send([event] * _BAD * _GOOD_FOR_EACH_BAD)
        site.until_settled()


@contextmanager
def wrong_path(site: DrillSite) -> Iterator[None]:
    """Deliver to a path that is not the endpoint's, then the same to the right one."""
    events = lifecycle("first_paid").events
    with site.client(path=_WRONG_PATH) as client:
        for event in events:
            client.post(event.body)
    try:
        yield
    finally:
        site.send(events)
        site.until_settled()


@contextmanager
def retired_secret(site: DrillSite) -> Iterator[None]:
    """Run one more ingest that still knows a secret with which nothing is signed."""
    secrets = f"{site.up.webhook_secret},{RETIRED_SECRET}"
    with extra_ingest(site, STRIPE_WEBHOOK_SECRET=secrets):
        site.send_one()
        yield
    site.until_settled()


def a_week_ago() -> str:
    """Return what Prometheus kept of the retired secret a week ago: it was known and unused."""
    now = int(time.time())
    name = "billing_webhook_secret_last_used_timestamp_seconds"
    series = f'{name}{{job="paidup-ingest",secret="{secret_fingerprint(RETIRED_SECRET)}"}}'
    first, last, step = now - _WEEK - 3600, now - _WEEK + 3600, 60
    samples = [f"{series} 0 {at}" for at in range(first, last, step)]
    return "\n".join([f"# TYPE {name} gauge", *samples, "# EOF", ""])


INGEST_ERRORS = Drill(
    alert="PaidupIngestErrors",
    does="makes Redis unsafe, delivers events that get a 503, and delivers them again later",
    cause=deliveries_refused,
    page="/",
    along=frozenset({"PaidupRedisUnsafe"}),
)
BAD_SIGNATURES = Drill(
    alert="PaidupBadSignatures",
    does="delivers events that are signed with another secret, then many with the right one",
    cause=wrongly_signed,
    page="/",
)
WRONG_PATH = Drill(
    alert="PaidupWrongPath",
    does="delivers signed events to a wrong path, then to the right one",
    cause=wrong_path,
    page="/",
    stays="ten minutes after the last delivery to a wrong path",
)
SECRET_UNUSED = Drill(
    alert="PaidupSecretUnused",
    does="starts one more ingest that knows a second secret, which was never used, and stops it",
    cause=retired_secret,
    page="/",
    past=a_week_ago,
)
