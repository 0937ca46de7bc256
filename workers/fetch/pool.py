"""``python -m workers.fetch.pool``: a Celery worker whose children ask Stripe's API.

It is a pool of its own, so that no live event waits for a child that waits for Stripe. It runs
only with a ``STRIPE_API_KEY``; no other worker process calls the API.
"""

from functools import partial

from runtime.broker import FETCH_QUEUE, FETCH_TASK, fetch_wake_publisher, make_celery
from runtime.failures.canary import Canary
from runtime.failures.dead_letters import dead_letter
from runtime.inbox.fetch_lane import FetchLane
from runtime.inbox.inbox import Inbox
from runtime.ledger.observed import load_stored_fetches
from runtime.stripe_api.accounts import ApiAccount
from runtime.stripe_api.budget import RequestBudget
from runtime.stripe_api.client import StripeApi, make_api
from workers.batches.celery_pool import ChildContext, PoolSpec, build_executor, run, utc_now
from workers.batches.drainer import Drainer
from workers.batches.finisher import FetchDeferrer, Finisher
from workers.batches.reporting import Reporter
from workers.fetch.executor import AskApi, FetchExecutor
from workers.liveness import ClaimFile


def main() -> None:
    """Fetch until a SIGTERM or the end of the supervisor, then end the process."""
    run(
        PoolSpec(
            name="fetcher",
            task=FETCH_TASK,
            queue=FETCH_QUEUE,
            processes=lambda settings: settings.fetch_at_once,
            build=build_fetcher,
        )
    )


def build_fetcher(child: ChildContext) -> Drainer:
    """Return the drainer of a pool child: it claims from the fetch lane and asks the API."""
    settings = child.settings
    inbox = Inbox(child.redis)
    lane = FetchLane(child.redis, at_once=settings.fetch_at_once)
    publish = fetch_wake_publisher(make_celery(settings, role="publisher"))
    budget = RequestBudget(child.redis, settings, caller="fetch")
    executor = FetchExecutor(
        executor=build_executor(settings, child.engine),
        stored_fetches=partial(load_stored_fetches, child.engine),
        ask=ask_in_account_of(make_api(settings, budget=budget)),
        health=lane,
        metrics=child.metrics,
    )
    return Drainer(
        queue=lane,
        claimed=inbox,
        execute=executor.execute,
        finisher=Finisher(
            inbox=inbox,
            write_dead_letters=partial(dead_letter, child.engine),
            reporter=Reporter(child.metrics),
            now=utc_now,
            fetch_deferrer=FetchDeferrer(lane=lane, publish=publish),
            ask_canary=Canary(child.engine).fault_alike,
        ),
        publish=publish,
        is_stopping=child.is_stopping,
        on_claim=child.pulse.beat,
        holding=ClaimFile(child.pulse.folder).holding,
    )


def ask_in_account_of(api: StripeApi) -> AskApi:
    """Return the function that asks in the account of an event's object."""
    return lambda request, envelope: api.ask(request, ApiAccount.of_event(envelope))


if __name__ == "__main__":
    main()
