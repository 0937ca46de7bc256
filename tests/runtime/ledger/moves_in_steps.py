"""A customer with old payments who is another user's now, while the archives are as before."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from sqlalchemy import Engine

from billing.ids import PartyId
from runtime.ledger import load_past
from runtime.ledger.maintenance.archive_updates import ArchiveUpdates
from tests.runtime.ledger.conftest import ledger_on
from tests.runtime.ledger.delivery_builders import NOW, customer, delivery, event, rows
from tests.runtime.ledger.test_archives import PAYMENTS, pay

PARTY = PartyId("test:cus_1")
BEFORE, AFTER = "usr_1", "usr_2"
"""The users of the customer."""

CAUSE = "evt_moves"

WAITING = "SELECT count(*) FROM archive_updates"
HOLDERS = "SELECT DISTINCT user_id FROM user_entitlements WHERE active ORDER BY user_id"


def begin_move(engine: Engine) -> None:
    """Record the payments of one user, and the event by which the customer is another's.

    What is loaded of the customer has moved then, and no archive has.
    """
    ledger = ledger_on(engine)
    pay(ledger, *range(PAYMENTS))
    stated = customer("cus_1", BEFORE)
    ledger.record([delivery(event("customer.updated", stated, at=NOW - 2000 * 3600))])
    with every_past_is_long():
        moved = event("customer.updated", customer("cus_1", AFTER), at=NOW, id=CAUSE)
        ledger.record([delivery(moved)])
    assert rows(engine, WAITING) == [1]
    assert rows(engine, HOLDERS) == [BEFORE, AFTER]


def end_move(engine: Engine) -> None:
    """Update the archives, all of them."""
    while ArchiveUpdates(engine=engine).do_next():
        pass
    assert rows(engine, WAITING) == [0]


@contextmanager
def every_past_is_long() -> Iterator[None]:
    """Have every change that concerns archives brought to them in steps."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(load_past, "IN_STEPS_ABOVE", 0)
        yield
