"""An organization's copy of an event in place of one's own, on a real database."""

import json
import re
from collections.abc import Iterator

import pytest

from ops.doctor.check_accounts import check_accounts
from ops.doctor.findings import State
from runtime.ledger.deliveries import REPLAY, Outcome
from runtime.ledger.record import Ledger
from tests.ops.queries.seeded_database import SeededDatabase
from tests.runtime.ledger.conftest import ledger_on
from tests.runtime.ledger.delivery_builders import delivery, event

pytestmark = pytest.mark.servers


@pytest.fixture
def books(database: str) -> Iterator[SeededDatabase]:
    books = SeededDatabase(database)
    yield books
    books.close()


def own_copy(number: int, *, livemode: bool = False) -> bytes:
    stated = {"id": f"cus_{number}", "object": "customer", "metadata": {"user_id": "usr_1"}}
    body = json.loads(event("customer.created", stated))
    return json.dumps({**body, "id": f"evt_{number}", "livemode": livemode}).encode()


def copy_of(body: bytes, **more: object) -> bytes:
    return json.dumps({**json.loads(body), **more}).encode()


def said(books: SeededDatabase) -> list[str]:
    with books.engine.connect() as connection:
        found = list(check_accounts(connection))
    assert all(finding.state is State.WARNING for finding in found)
    return [finding.says for finding in found]


@pytest.mark.parametrize("livemode", [True, False])
@pytest.mark.parametrize("context", ["org_1/acct_me", "acct_me"])
def test_an_event_in_place_of_ones_own_is_named_until_it_is_replayed(
    books: SeededDatabase, context: str, *, livemode: bool
) -> None:
    ours = own_copy(1, livemode=livemode)
    theirs = copy_of(ours, context=context)
    ledger = ledger_on(books.engine)

    first, second = (ledger.record([delivery(body)])[0] for body in (theirs, ours))

    assert (first.outcome, first.reason) == (Outcome.IGNORED, "unknown_account")
    assert second.outcome is Outcome.IGNORED, "one's own copy is a duplicate"
    (says,) = said(books)
    assert says.startswith("1 event came to an organization's destination")
    assert "does not list acct_me: evt_1." in says
    assert "`paidup replay evt_1 --reason WHY`" in says

    listing = Ledger(books.engine, livemode="any", accounts=frozenset({"acct_me"}))
    listing.record([delivery(theirs, origin=REPLAY)])
    assert said(books) == []


def test_what_cannot_be_ones_own_is_not_named(books: SeededDatabase) -> None:
    connected = copy_of(own_copy(1), account="acct_2")
    both = copy_of(own_copy(2), account="acct_2", context="org_1/acct_2")
    unknown = copy_of(own_copy(3), context="org_1")
    ledger_on(books.engine).record([delivery(each) for each in (connected, both, unknown)])

    assert said(books) == []


def test_of_many_events_the_first_are_named_and_all_are_counted(books: SeededDatabase) -> None:
    copies = [copy_of(own_copy(n), context=f"org_1/acct_{n % 2}") for n in range(1, 8)]
    ledger_on(books.engine).record([delivery(each) for each in copies])

    (says,) = said(books)

    assert says.startswith("7 events came")
    assert "does not list acct_0, acct_1: " in says
    assert len(re.findall(r"evt_\d", says)) == 5
    assert "`paidup replay --outcome ignored --reason WHY`" in says
