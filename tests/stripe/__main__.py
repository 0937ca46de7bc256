"""Serve a company at a Stripe of our own, on loopback, until a signal ends it.

python -m tests.stripe --subscribers 50 --months 24 --seed 1

The first line printed is JSON: URL, API key, the secret that signs webhooks, the Unix time at which
the company's past ends and the server's clock begins, and the planted gaps. The same arguments with
that time build the same company in any process, which so knows its events.
"""

import argparse
import json
import signal
import sys
import threading
import time

from tests.stripe.company import CompanyPlan, build_company
from tests.stripe.event_series import add_series
from tests.stripe.gaps import plant_gaps
from tests.stripe.limits import RateLimits
from tests.stripe.server import KEY, WEBHOOK_SECRET, serving


def main() -> int:
    """Serve until SIGTERM or SIGINT."""
    asked, begun = _arguments(), time.monotonic()
    plan = CompanyPlan(
        subscribers=asked.subscribers, months=asked.months, now=asked.now, seed=asked.seed
    )
    company = build_company(plan)
    gaps = plant_gaps(company, asked.gaps)
    if asked.events:
        add_series(company, asked.events)
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    with serving(
        port=asked.port,
        account=company.stripe,
        clock=lambda: asked.now + time.monotonic() - begun,
        latency=asked.latency,
        limits=RateLimits() if asked.limits else None,
    ) as api:
        stated = {
            "url": api.url,
            "key": KEY,
            "webhook_secret": WEBHOOK_SECRET,
            "now": asked.now,
            "gaps": [gap.stated() for gap in gaps],
        }
        sys.stdout.write(json.dumps(stated) + "\n")
        sys.stdout.flush()
        ended.wait()
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.stripe", description=__doc__)
    parser.add_argument("--subscribers", type=int, default=50)
    parser.add_argument("--months", type=int, default=24)
    parser.add_argument("--seed", default="1")
    parser.add_argument("--now", type=int, default=int(time.time()), help="Unix time")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--latency", type=float, default=0.0, help="seconds for each request")
    parser.add_argument("--events", type=int, default=0, help="so many beside the company's own")
    parser.add_argument("--gaps", type=int, default=0, help="changes whose events are not listed")
    parser.add_argument("--limits", action="store_true", help="Stripe's limits, with 429")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
