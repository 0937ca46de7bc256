"""A deployment and a Stripe that knows events of its own, which a test compares."""

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from models.tables import StripeEvent, StripeRun
from ops.reconcile.course import ComparisonRequest
from ops.reconcile.differences import FoundDifference, read_differences
from ops.reconcile.run import reconcile_account
from ops.reconcile.servers import Servers
from ops.reconcile.statement import ComparisonStatement
from ops.samples.scenario import Event
from runtime.reconciling import ComparedPart
from runtime.settings import Settings
from runtime.stripe_api.accounts import ApiAccount
from runtime.stripe_api.client import make_api
from tests.ops.ops_env import OpsEnv
from tests.stripe.server import KEY, FakeApi, serving

HOUR = 3600
OWN = ApiAccount(livemode=False)


@dataclass
class BothSides:
    """A deployment, a Stripe whose clock is an hour ahead, and the sentences that it says."""

    floor: OpsEnv
    api: FakeApi
    settings: Settings
    sentences: list[str] = field(default_factory=list)
    is_stopping: Callable[[], bool] = lambda: False
    work: Callable[[float], None] | None = None
    """What happens while something waits, instead of the work of a worker."""

    def happen(self, *events: Event) -> None:
        """Let events happen at Stripe; none is delivered."""
        for event in events:
            self.api.account.learn(event.payload)

    def servers(self) -> Servers:
        return Servers(
            settings=self.settings,
            engine=self.floor.engine,
            inbox=self.floor.inbox,
            publish=lambda _: True,
            make_api=lambda: make_api(self.settings),
            wait=self.work or self.floor.work,
            is_stopping=self.is_stopping,
        )

    def reconcile(
        self, *, apply: bool = False, account: ApiAccount = OWN, **given: Any
    ) -> tuple[int, ComparisonStatement]:
        """Compare events; workers run while something waits for them."""
        given.setdefault("parts", (ComparedPart.EVENTS,))
        wish = ComparisonRequest(actor="ada", reason="a test", applies_events=apply, **given)
        return reconcile_account(
            self.servers(),
            account,
            wish,
            rate=25.0,
            report=lambda *_: None,
            tell=self.sentences.append,
        )

    def differences(self, run: int) -> dict[str, FoundDifference]:
        with self.floor.engine.connect() as connection:
            return {each.name: each for each in read_differences(connection, run)}

    def states(self, run: int) -> dict[str, str]:
        """Return the state of each difference of a run, by event."""
        return {name: str(each.state) for name, each in self.differences(run).items()}

    def settled(self) -> dict[str, str]:
        """Return the origin of each settled event."""
        with self.floor.engine.connect() as connection:
            rows = connection.execute(sa.select(StripeEvent.id, StripeEvent.origin))
            return {event_id: origin for event_id, origin in rows}  # noqa: C416 - rows

    def run_row(self, run: int) -> Any:
        with self.floor.engine.connect() as connection:
            query = sa.select(StripeRun.__table__).where(StripeRun.id == run)
            return connection.execute(query).one()

    def lists_asked(self) -> list[str]:
        return [path for path in self.api.paths() if path.startswith("/v1/events?")]


@contextmanager
def both_sides(floor: OpsEnv, **environ: str) -> Iterator[BothSides]:
    """Run a Stripe on loopback beside the deployment until the block ends."""
    with serving(clock=lambda: time.time() + HOUR) as api:
        environ = {"STRIPE_API_KEY": KEY, "STRIPE_API_BASE": api.url, **environ}
        yield BothSides(floor, api, Settings.from_env(environ))


def ids(events: Iterable[Event]) -> set[str]:
    return {event.id for event in events}
