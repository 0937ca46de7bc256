"""Customers with a long past who get another user: what is committed at once, and each later step.

A person's link moves the customer; this process states it and does the steps, as ``paidup links
add`` and the supervisor do. Beside it stands the same link in one transaction, rolled back.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from typing import Final

from sqlalchemy import Engine, text

from bench.growth.system import LoneCost, cost_here
from bench.past import SCOPE
from billing.ids import Realm
from billing.statements import OperatorLink
from ops.statements.identifiers import new_link_id, new_statement_id
from runtime.ledger.maintenance.archive_updates import ArchiveUpdates, count_updates
from runtime.ledger.record import Ledger
from runtime.ledger.statements import NewStatement

_CUSTOMER: Final = text("SELECT realm, stripe_customer_id FROM customers WHERE user_id = :user")


@dataclass(slots=True, kw_only=True)
class MoveCosts:
    """Moves after a past of one size: one transaction, and what is done instead of it."""

    size: int
    at_once: list[LoneCost] = field(default_factory=list)
    first: list[LoneCost] = field(default_factory=list)
    steps: list[list[LoneCost]] = field(default_factory=list)
    """The steps of each move."""


class BenchMoves:
    """Moves of customers by links."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._ledger = Ledger(engine, livemode=SCOPE.livemode, accounts=SCOPE.accounts)
        self._numbers = count()

    def move(self, user: str, costs: MoveCosts) -> str:
        """Move the only customer of a user, note what it costs, and return whose it is now."""
        owner = f"usr_moved_{next(self._numbers)}"
        link = partial(self._ledger.state, new=[_link(self._customer_of(user), owner)])
        at_once = partial(link, at_once=True)
        costs.at_once.append(self._cost(partial(self._ledger.try_out, at_once)))
        costs.first.append(self._cost(partial(self._ledger.transact, link)))
        costs.steps.append(list(self._steps()))
        return owner

    def _customer_of(self, user: str) -> tuple[Realm, str]:
        with self._engine.connect() as connection:
            realm, customer = connection.execute(_CUSTOMER, {"user": user}).one()
        return Realm(realm), customer

    def _steps(self) -> Iterator[LoneCost]:
        step = ArchiveUpdates(engine=self._engine).do_next
        while self._is_under_way():
            yield self._cost(step)

    def _is_under_way(self) -> bool:
        with self._engine.connect() as connection:
            number, _ = count_updates(connection)
        return number > 0

    def _cost(self, work: Callable[[], object]) -> LoneCost:
        return cost_here(self._engine, work)


def _link(target: tuple[Realm, str], user: str) -> NewStatement:
    realm, customer = target
    link = OperatorLink(id=new_link_id(), user_id=user, target=customer, realm=realm)
    return NewStatement(id=new_statement_id(), subject=link, actor="bench", reason="measured")
