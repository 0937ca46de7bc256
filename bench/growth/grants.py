"""Grants of a person to one user; this process states them, as ``paidup grants add`` does."""

from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Final
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, Engine

from bench.past import SCOPE
from billing.statements import OperatorGrant
from ops.statements.grants import GrantOperations, GrantRequest
from ops.statements.identifiers import new_grant_id, new_statement_id
from runtime.ledger.record import Ledger
from runtime.ledger.statements import NewStatement

NAME: Final = "grant by a person to a user"
_STATED_AT_ONCE: Final = 500
_KINDS: Final = 5
"""Of so many different sets of features the grants of a past are, each with its own end."""

_FEATURES: Final = {"max_devices": 7}
_ACTOR, _REASON = "bench", "measured"


class BenchGrants:
    """Grants through one ledger."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._ledger = Ledger(engine, livemode=SCOPE.livemode, accounts=SCOPE.accounts)
        self._operations = GrantOperations(self._ledger, zone=ZoneInfo("UTC"), test_counts=True)

    def load(self, user: str, count: int) -> None:
        """Give a user so many grants, many in one transaction."""
        while count > 0:
            few = min(count, _STATED_AT_ONCE)
            new = [_statement(user, number) for number in range(few)]
            self._ledger.transact(partial(self._ledger.state, new=new))
            count -= few

    def add(self, user: str) -> None:
        """Give the user one more, and commit."""
        self._ledger.transact(lambda connection: self.add_in(connection, user))

    def try_out(self, user: str) -> None:
        """Give the user one more, and roll it back."""
        self._ledger.try_out(lambda connection: self.add_in(connection, user))

    def add_in(self, connection: Connection, user: str) -> None:
        """Give the user one more in this transaction."""
        request = GrantRequest(
            user_id=user,
            plan_code=None,
            features=_FEATURES,
            starts_at=None,
            lasts=None,
            until=None,
            actor=_ACTOR,
            reason=_REASON,
            new_user=True,
        )
        self._operations.add(connection, request, key=None)


def _statement(user: str, number: int) -> NewStatement:
    now = datetime.now(UTC)
    grant = OperatorGrant(
        id=new_grant_id(),
        user_id=user,
        plan_code=None,
        features=(("max_devices", 1 + number % _KINDS),),
        starts_at=now,
        until=now + timedelta(days=1 + number),
    )
    return NewStatement(id=new_statement_id(), subject=grant, actor=_ACTOR, reason=_REASON)
