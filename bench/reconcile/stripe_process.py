"""Serve the Stripe of the measurement as a process of its own, until a signal ends it.

The first line printed is the URL. Limits are those of a sandbox: 25 requests a second.
"""

import signal
import sys
import threading

from bench.reconcile.site import ReconcileScale, build_site
from tests.stripe.limits import RateLimits
from tests.stripe.server import serving


def main() -> None:
    """Serve the site of the scale that the only argument states."""
    scale = ReconcileScale.from_text(sys.argv[1])
    site = build_site(scale)
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    stripe = site.company.stripe
    with serving(account=stripe, latency=scale.latency, limits=RateLimits()) as api:
        sys.stdout.write(f"{api.url}\n")
        sys.stdout.flush()
        ended.wait()


if __name__ == "__main__":
    main()
