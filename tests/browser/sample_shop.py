"""Run a shop for pages to show: real servers, lifecycles of customers, dead letters and grants.

The dead letters come as in docs/drills/dead-letters.md: a constraint refuses rows of some users,
and is gone again when the shop opens, so that a replay succeeds.
"""

import json
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from itertools import product
from pathlib import Path
from secrets import token_urlsafe
from typing import Final
from urllib.request import Request, urlopen

from sqlalchemy import Engine, text

from ops.console_tokens import VARIABLE, Role, hashed_entry
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
    "payments": ("onetime", ("usr_dia", "usr_eva")),
}
"""Tables that refuse rows of users at first, with the lifecycle that fails so."""

GRANTED: Final = ("usr_fay", "usr_gil")
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
def open_shop(folder: Path) -> Iterator[SampleShop]:
    """Run a shop in a folder until it is closed; everything in it has happened."""
    tokens = {name: f"pdt_{token_urlsafe(32)}" for name in PEOPLE}
    entries = (hashed_entry(name, role, tokens[name]) for name, role in PEOPLE.items())
    secret = folder / "console_secret"
    secret.write_text(token_urlsafe(48))
    secret.chmod(0o600)
    environ = {VARIABLE: ",".join(entries), "PAIDUP_CONSOLE_SECRET_FILE": str(secret)}
    with running_system(folder / "data", **environ) as system:
        fill(system, tokens["olga"])
        yield SampleShop(system=system, tokens=tokens)


def fill(system: StackUnderTest, token: str) -> None:
    """Let everything happen that the pages show, and wait for its end."""
    now = int(time.time())
    _let_some_fail(system, now)
    kinds = ((name, shape) for name, shape in product(SCENARIOS, _SHAPES))
    sent = [_lifecycle(*kind, now) for kind in kinds if kind[0] in scenarios_in(kind[1])]
    system.await_settled(_send(system, sent))
    for user in GRANTED:
        _grant(system.stack.console_url, token, user)
    _link(system, token)


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


def _grant(console_url: str, token: str, user: str) -> None:
    body = {
        "user_id": user,
        "plan": "premium",
        "for": "30d",
        "reason": "A month for the trouble with the payment page.",
        "new_user": True,
    }
    _state(f"{console_url}/v1/grants", token, f"sample-shop-{user}", body)


def _link(system: StackUnderTest, token: str) -> None:
    """Say of a payment whose it is, which its events said as well."""
    query = text("SELECT payment_ref, user_id FROM payments WHERE user_id IS NOT NULL LIMIT 1")
    with system.engine.connect() as connection:
        target, user = connection.execute(query).one()
    body = {"target": target, "user_id": user, "reason": "She showed the invoice."}
    _state(f"{system.stack.console_url}/v1/links", token, "sample-shop-link", body)


def _state(url: str, token: str, key: str, body: Mapping[str, object]) -> None:
    headers = {
        "Authorization": f"Bearer {token}",
        "Content-Type": "application/json",
        "Idempotency-Key": key,
    }
    request = Request(url, json.dumps(body).encode(), headers)  # noqa: S310 - of this shop
    with urlopen(request, timeout=SETTLE_SECONDS) as response:  # noqa: S310 - the same
        assert response.status in {HTTPStatus.OK, HTTPStatus.CREATED}
