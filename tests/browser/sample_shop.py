"""Run a shop for pages to show: real servers, lifecycles of customers, dead letters and grants.

The dead letters come as in docs/drills/dead-letters.md: a constraint refuses rows of some users,
and is gone again when the shop opens, so that a replay succeeds.
"""

import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http import HTTPStatus
from itertools import product
from pathlib import Path
from secrets import token_urlsafe
from typing import Final
from urllib.request import Request, urlopen
from uuid import uuid4

from sqlalchemy import Engine, insert, text

from models.tables import StripeRun
from ops.bulk.control import start_preview
from ops.bulk.plans import REPLAY, PlanRequest, make_plan, read_plan
from ops.bulk.targets import Selection
from ops.console_tokens import VARIABLE, Role, hashed_entry
from ops.queries.events import EventFilter
from ops.queries.parties import configured_realms
from ops.reconcile.agreement import AgreedSum, Agreement
from ops.reconcile.differences import (
    DifferenceClass,
    DifferenceState,
    FoundDifference,
    write_differences,
)
from ops.reconcile.totals import DifferingDay, MoneyStatus
from ops.samples.api_shapes import Shape
from ops.samples.lifecycles.registry import SCENARIOS, Lifecycle, compose, scenarios_in
from runtime.database.engine import engine_for
from tests.system.stack_env import SETTLE_SECONDS, StackUnderTest, running_system

PEOPLE: Final[Mapping[str, Role]] = {
    "olga": Role.OPERATOR,
    "otto": Role.OPERATOR,
    "vera": Role.VIEWER,
}
"""Who may log in: two operators, since one may have to approve what the other wants."""

REFUSED: Final[Mapping[str, tuple[str, tuple[str, ...]]]] = {
    "user_entitlements": ("first_paid", ("usr_ada", "usr_ben", "usr_cem")),
    "payments": ("onetime", ("usr_dia", "usr_eva", "usr_ida")),
}
"""Tables that refuse rows of users at first, with the lifecycle that fails so."""

REFUNDED: Final = ("usr_jan", "usr_kim", "usr_lea")
"""Users who bought something, have nothing any more, and may ask why."""

ALONE: Final = 1
"""How many events an operator may act on alone: a plan of more waits for a second."""

GRANTED: Final = ("usr_fay", "usr_gil")
GRANT: Final[Mapping[str, object]] = {
    "plan": "premium",
    "for": "30d",
    "reason": "A month for the trouble with the payment page.",
    "new_user": True,
}
LINK: Final[Mapping[str, object]] = {
    "user_id": "usr_hal",
    "reason": "Paid under an old account.",
    "new_user": True,
}
_SHAPES: Final = (Shape.OLD, Shape.NEW)


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleShop:
    """A running shop, and the tokens of its people."""

    system: StackUnderTest
    tokens: Mapping[str, str] = field(repr=False)

    @property
    def url(self) -> str:
        """The base URL of the console."""
        return self.system.stack.console_url


@contextmanager
def open_shop(
    folder: Path, before: Callable[[StackUnderTest], None] = lambda _: None
) -> Iterator[SampleShop]:
    """Run a shop in a folder until it is closed; everything in it has happened.

    ``before`` is called when its servers run and nothing has happened.
    """
    tokens = {name: f"pdt_{token_urlsafe(32)}" for name in PEOPLE}
    entries = (hashed_entry(name, role, tokens[name]) for name, role in PEOPLE.items())
    secret = folder / "console_secret"
    secret.write_text(token_urlsafe(48))
    secret.chmod(0o600)
    environ = {
        VARIABLE: ",".join(entries),
        "PAIDUP_CONSOLE_SECRET_FILE": str(secret),
        "PAIDUP_APPROVAL_ABOVE": str(ALONE),
    }
    with running_system(folder / "data", **environ) as system:
        before(system)
        fill(system, tokens["olga"])
        yield SampleShop(system=system, tokens=tokens)


def fill(system: StackUnderTest, token: str) -> None:
    """Let everything happen that the pages show, and wait for its end."""
    now = int(time.time())
    _let_some_fail(system, now)
    kinds = ((name, shape) for name, shape in product(SCENARIOS, _SHAPES))
    sent = [_lifecycle(*kind, now) for kind in kinds if kind[0] in scenarios_in(kind[1])]
    sent += (_lifecycle("refund_full", Shape.NEW, now, user) for user in REFUNDED)
    system.await_settled(_send(system, sent))
    console = system.stack.console_url
    for user in GRANTED:
        _state(console, token, "/v1/grants", {**GRANT, "user_id": user})
    _state(console, token, "/v1/links", {**LINK, "target": _customer(system)})
    _preview_a_replay(system)
    _compare_with_stripe(system)


def _compare_with_stripe(system: StackUnderTest) -> None:
    """Write a comparison as `paidup reconcile` leaves it; the shop's Stripe has no API."""
    found = FoundDifference(
        name=_first(system, "SELECT stripe_subscription_id FROM subscriptions ORDER BY 1"),
        family="subscription",
        classed=DifferenceClass.GRANTED_NOT_PAID,
        state=DifferenceState.STANDS,
        says="a repair takes premium of user usr_ada",
        stripe_customer_id=_customer(system),
        user_id="usr_ada",
    )
    statement = _statement(found)
    said = {"parts": list(statement.parts), "user": None, "customer": None}
    with system.engine.begin() as connection:
        run = insert(StripeRun).values(
            kind="reconcile",
            realm="test",
            actor="console:olga",
            reason="Is the endpoint well again?",
            said=said,
            state="done",
            rate=5.0,
            result=statement.document(),
        )
        number = connection.execute(run.returning(StripeRun.id)).scalar_one()
        write_differences(connection, number, [found])


def _statement(found: FoundDifference) -> Agreement:
    """Return the statement of a comparison that found one difference and a day that differs."""
    return Agreement(
        realm="test",
        as_of=datetime.now(UTC),
        parts=("events", "objects"),
        whole=True,
        subscriptions=12,
        payments=40,
        sums=(AgreedSum(currency="eur", payments=40, received=48_000, refunded=1_200),),
        events=310,
        differ={found.classed: {found.state: 1}},
        days=(
            DifferingDay(
                currency="eur",
                day=datetime.now(UTC).date(),
                status=MoneyStatus.REFUNDED,
                ours=1_200,
                theirs=1_500,
            ),
        ),
        not_compared=("disputes: the key lacks the right dispute_read",),
    )


def _preview_a_replay(system: StackUnderTest) -> None:
    request = PlanRequest(
        action=REPLAY,
        actor="console:olga",
        reason="The hold on these accounts is lifted.",
        selection=Selection(ids=(), wanted=EventFilter()),
        realms=configured_realms(system.stack.settings),
        only_letters=True,
    )
    plan = make_plan(system.engine, request).result
    start_preview(system.engine, plan)
    _await_preview(system, plan)


def _await_preview(system: StackUnderTest, plan: int) -> None:
    until = time.monotonic() + SETTLE_SECONDS
    while True:
        with system.engine.connect() as connection:
            if read_plan(connection, plan).state == "previewed":
                return
        assert time.monotonic() < until, f"plan {plan} has no preview"
        system.stack.restart_ended()
        time.sleep(0.02)


def _lifecycle(name: str, shape: Shape, now: int, user_id: str | None = None) -> Lifecycle:
    return compose(name, shape=shape, seed=f"shop/{user_id}", now=now, user_id=user_id)


def _send(system: StackUnderTest, lifecycles: Iterable[Lifecycle]) -> list[str]:
    """Send every event, and return the ids."""
    events = [event for lifecycle in lifecycles for event in lifecycle.events]
    for event in events:
        assert system.post(event.body).taken, event.id
    return [event.id for event in events]


def _let_some_fail(system: StackUnderTest, now: int) -> None:
    owner = engine_for(system.stack.owner_database_url, application_name="sample shop")
    lifecycles = (
        _lifecycle(name, Shape.NEW, now, user) for name, users in REFUSED.values() for user in users
    )
    try:
        _execute(owner, (_refuse(table, users) for table, (_, users) in REFUSED.items()))
        _await_ended(system, _send(system, lifecycles))
        _execute(owner, (f"ALTER TABLE {table} DROP CONSTRAINT fraud_hold" for table in REFUSED))
    finally:
        owner.dispose()


def _refuse(table: str, users: Iterable[str]) -> str:
    listed = ", ".join(f"'{user}'" for user in users)
    check = f"CHECK (user_id IS NULL OR user_id NOT IN ({listed}))"
    return f"ALTER TABLE {table} ADD CONSTRAINT fraud_hold {check} NOT VALID"


def _execute(engine: Engine, statements: Iterable[str]) -> None:
    with engine.begin() as connection:
        for statement in statements:
            connection.execute(text(statement))


def _await_ended(system: StackUnderTest, ids: Iterable[str]) -> None:
    """Wait until each event is settled or a dead letter."""
    wanted, until = set(ids), time.monotonic() + SETTLE_SECONDS
    while missing := wanted - system.settled(wanted) - _dead(system):
        assert time.monotonic() < until, f"{min(missing)} is neither settled nor a dead letter"
        system.stack.restart_ended()
        time.sleep(0.02)


def _dead(system: StackUnderTest) -> set[str]:
    with system.engine.connect() as connection:
        return set(connection.execute(text("SELECT event_id FROM dead_letters")).scalars())


def _customer(system: StackUnderTest) -> str:
    """Return some customer, the same in each shop."""
    return _first(system, "SELECT stripe_customer_id FROM customers ORDER BY 1")


def _first(system: StackUnderTest, query: str) -> str:
    with system.engine.connect() as connection:
        return str(connection.execute(text(f"{query} LIMIT 1")).scalar_one())


def _state(console_url: str, token: str, path: str, body: Mapping[str, object]) -> None:
    headers = {
        "Authorization": f"Bearer {token}",
        "Content-Type": "application/json",
        "Idempotency-Key": str(uuid4()),
    }
    request = Request(  # noqa: S310 - the console of this shop
        console_url + path, json.dumps(body).encode(), headers
    )
    with urlopen(request, timeout=SETTLE_SECONDS) as response:  # noqa: S310 - the same
        assert response.status in {HTTPStatus.OK, HTTPStatus.CREATED}
