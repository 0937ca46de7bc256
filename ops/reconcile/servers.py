"""Open what a reconciliation works with: PostgreSQL, Redis, the broker and Stripe's API."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from sqlalchemy.engine import Engine

from ops import connections
from ops.terminal.interrupt import Interruption
from runtime.broker import Publish, WakePublisher, make_celery
from runtime.inbox.inbox import Inbox
from runtime.settings import Settings
from runtime.stripe_api.budget import RequestBudget
from runtime.stripe_api.client import StripeApi, make_api


@dataclass(frozen=True, slots=True, kw_only=True)
class Servers:
    """The servers that all runs of a process share; ``make_api`` is called once for each thread."""

    settings: Settings
    engine: Engine
    inbox: Inbox
    publish: Publish
    make_api: Callable[[], StripeApi]
    wait: Callable[[float], None]
    is_stopping: Callable[[], bool]


@contextmanager
def open_servers(settings: Settings, *, rate: float | None) -> Iterator[Servers]:
    """Yield the servers; ``rate`` is in requests a second, None for the settings' own.

    Raises:
        CommandFailed: a server is unreachable, or has another release's schema.
    """
    interruption = Interruption()
    with (
        connections.open_database(settings, application="reconcile") as engine,
        connections.open_inbox(settings) as inbox,
    ):

        def api() -> StripeApi:
            budget = RequestBudget(inbox.client, settings, caller="reconcile", rate=rate)
            return make_api(settings, budget=budget)

        yield Servers(
            settings=settings,
            engine=engine,
            inbox=inbox,
            publish=WakePublisher(make_celery(settings, role="publisher")).publish,
            make_api=api,
            wait=interruption.pause,
            is_stopping=lambda: interruption.asked,
        )
