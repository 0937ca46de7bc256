"""``python -m workers.fetch.pool``: the Celery worker whose children ask Stripe's API.

A pool of its own, so that a child that waits for Stripe is never one that live events wait for.
It runs only where there is a ``STRIPE_API_KEY``; no other worker process can ask.
"""

import logging
from functools import partial

from billing.readers.registry import HANDLED_TYPES
from runtime.broker import FETCH_QUEUE, FETCH_TASK, make_celery, wakes_for_fetching
from runtime.failures.dead_letters import bury
from runtime.inbox.fetch_lane import FetchLane
from runtime.inbox.inbox import Inbox
from runtime.stripe_api.client import make_api
from runtime.telemetry import build_metrics
from workers.drain.drainer import Drainer
from workers.drain.finisher import Deferring, Orders
from workers.drain.pool import Child, Crew, applier_of, ledger_of, run, utc_now
from workers.drain.reporting import Reporter
from workers.fetch.executor import FetchClaims, FetchingApplier
from workers.liveness import Will


def main() -> None:
    """Fetch until a SIGTERM, or until the supervisor is gone; ends the process."""
    # A line for each request would name every object that is fetched.
    logging.getLogger("stripe").setLevel(logging.WARNING)
    run(
        Crew(
            name="fetcher",
            task=FETCH_TASK,
            queue=FETCH_QUEUE,
            processes=lambda settings: settings.fetch_at_once,
            build=build_fetcher,
        )
    )


def build_fetcher(child: Child) -> Drainer:
    """Everything a child fetches with."""
    settings = child.settings
    lane = FetchLane(child.redis, at_once=settings.fetch_at_once)
    inbox = Inbox(child.redis)
    ledger, metrics = ledger_of(settings, child.engine), build_metrics(event_types=HANDLED_TYPES)
    publish = wakes_for_fetching(make_celery(settings, role="publisher"))
    return Drainer(
        inbox=FetchClaims(inbox=inbox, lane=lane),
        applier=FetchingApplier(
            applier=applier_of(settings, ledger),
            ledger=ledger,
            api=make_api(settings),
            health=lane,
            metrics=metrics,
        ),
        orders=Orders(
            inbox=inbox,
            bury=partial(bury, child.engine),
            reporter=Reporter(metrics),
            now=utc_now,
            deferring=Deferring(lane=lane, publish=publish),
        ),
        publish=publish,
        is_stopping=child.is_stopping,
        moved=child.pulse.beat,
        naming=Will(child.pulse.folder).naming,
    )


if __name__ == "__main__":
    main()
