"""People, events and projections at once never deadlock, and every statement stands in the end.

They meet at users of several customers: a grant is a party of its own, so two transactions with no
party in common may still change the rows of the same users.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import count
from threading import Barrier
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine

from billing.ids import PartyId
from runtime.ledger.catalogues import CatalogueCache
from runtime.ledger.errors import StatementRefused
from runtime.ledger.maintenance.reproject import reproject
from runtime.ledger.record import Ledger
from runtime.ledger.statements import EndStatement, NewStatement
from tests.runtime.ledger.conftest import ledger_on
from tests.runtime.ledger.delivery_builders import customer, delivery, event, rows
from tests.runtime.ledger.test_statements import end, grant, link, rebuilder_on
from tests.runtime.ledger.test_user_versions_stored import bought, given_back, lingering

pytestmark = pytest.mark.servers
__all__ = ["lingering"]

WRITERS = 4
WAYS = ("buy", "give back", "move", "grant", "grant", "end", "link", "end link", "project")
Action = tuple[str, int, tuple[int, ...]]
"""The way, the number of a customer, and the numbers of users, each at most once."""
ACTIONS = st.lists(
    st.tuples(
        st.sampled_from(WAYS),
        st.integers(1, 4),
        st.lists(st.integers(1, 4), min_size=1, max_size=3, unique=True).map(tuple),
    ),
    min_size=24,
    max_size=40,
)
_examples = count(1)


class BusyShop:
    """Customers, users and people of one example, whose names no other example has."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.prefix = f"x{next(_examples)}"
        self._numbers = count(1)
        self.granted: list[str] = []
        self.linked: list[str] = []

    def user(self, number: int) -> str:
        return f"usr_{self.prefix}_{number}"

    def do(self, ledger: Ledger, action: Action) -> None:
        """Do one thing; several users are in one transaction, in the order that was drawn."""
        way, number, users = action
        match way:
            case "buy":
                ledger.record([self._bought(number, user) for user in users])
            case "give back":
                names = [f"{self.prefix}_{number}_{user}" for user in users]
                ledger.record([given_back(name) for name in names])
            case "move":
                moved = customer(f"cus_{self.prefix}_{number}", self.user(users[0]))
                ledger.record([delivery(event("customer.updated", moved))])
            case "project":
                reproject(
                    self._engine, CatalogueCache(), self.parties(), actor="test", reason="test"
                )
            case _:
                self._state(ledger, way, number, users)

    def _bought(self, number: int, user: int) -> Any:
        names = {"user": self.user(user), "customer": f"cus_{self.prefix}_{number}"}
        return bought(f"{self.prefix}_{number}_{user}", **names)

    def _state(self, ledger: Ledger, way: str, number: int, users: Sequence[int]) -> None:
        made = [f"{way[-5:].strip()}_{self.prefix}_{next(self._numbers)}" for _ in users]
        new: list[NewStatement | EndStatement]
        match way:
            case "grant":
                pairs = zip(made, users, strict=True)
                new = [grant(name, self.user(user)) for name, user in pairs]
            case "link":
                target = f"cus_{self.prefix}_{number}"
                new = [link(target, self.user(users[0]), made[0])]
            case "end":
                new = [end(self.granted[n % len(self.granted)], f"op_{name}")
                       for n, name in zip(users, made, strict=True) if self.granted]  # fmt: skip
            case _:
                new = [end(name, f"op_{made[0]}") for name in self.linked[-1:]]
        with suppress(StatementRefused):  # ended already, or a customer that no event has named
            for change in ledger.transact(lambda connection: ledger.state(connection, new)):
                stated = {"grant": self.granted, "link": self.linked}
                stated.get(change.statement.kind, []).append(change.statement.subject.id)

    def parties(self) -> list[PartyId]:
        query = "SELECT party FROM parties WHERE strpos(party, :prefix) > 0 ORDER BY party"
        return [PartyId(party) for party in rows(self._engine, query, prefix=f"_{self.prefix}_")]


def at_once(engine: Engine, shop: BusyShop, actions: Sequence[Action]) -> None:
    begin = Barrier(WRITERS)

    def work(hand: Sequence[Action]) -> None:
        ledger = ledger_on(engine)
        begin.wait()
        for action in hand:
            shop.do(ledger, action)

    with ThreadPoolExecutor(WRITERS) as pool:
        hands = [actions[number::WRITERS] for number in range(WRITERS)]
        for done in [pool.submit(work, hand) for hand in hands]:
            done.result()


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(actions=ACTIONS)
def test_people_and_events_never_deadlock_and_every_statement_stands(
    lingering: Engine, actions: Sequence[Action]
) -> None:
    shop = BusyShop(lingering)

    at_once(lingering, shop, actions)

    users = {"users": f"usr_{shop.prefix}_"}
    ended = rows(lingering, "SELECT subject FROM operator_statements WHERE kind = 'grant_ended'")
    query = (
        "SELECT source FROM user_entitlements WHERE active AND source LIKE 'grant%'"
        " AND starts_with(user_id, :users) ORDER BY source"
    )
    assert rows(lingering, query, **users) == sorted({*shop.granted} - {*ended})
    assert rebuilder_on(lingering, dry_run=True).from_facts(shop.parties()).decisions == []
    audited = rows(
        lingering,
        "SELECT user_id, version, event_id FROM audit_logs WHERE starts_with(user_id, :users)"
        " AND action LIKE 'entitlement.%'",
        **users,
    )
    steps = {(user, version): event_id for user, version, event_id in audited}
    assert len(steps) == len({(user, event_id) for user, _, event_id in audited})
