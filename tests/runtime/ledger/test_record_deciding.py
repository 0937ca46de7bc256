"""Deciding ends in time: what is decided is settled, and the rest leaves no trace."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import count

import pytest
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError

from runtime.failures.classify import Transient, classify
from runtime.ledger.batch_state import BatchState
from runtime.ledger.deliveries import Delivery
from runtime.ledger.load_past import load_past
from runtime.ledger.record import Ledger
from tests.runtime.ledger.delivery_builders import (
    NOW,
    contents,
    customer,
    delivery,
    event,
    intent,
    outcomes,
    rows,
)
from tests.runtime.ledger.test_record_batches import everything, record_in

pytestmark = pytest.mark.servers

HISTORY = ("audit_logs", "payment_events")


def hasty(engine: Engine, *, decides: int) -> Ledger:
    """Return a ledger whose clock lets each transaction decide so many events."""
    ticks = count()
    return Ledger(
        engine,
        livemode="any",
        accounts=frozenset(),
        deciding_seconds=decides + 0.5,
        clock=lambda: float(next(ticks)),
    )


def record_all(ledger: Ledger, batch: Sequence[Delivery]) -> int:
    """Record until nothing is left, as a drainer does, and return the number of transactions."""
    left, transactions = list(batch), 0
    while left:
        settled = {each.key for each in ledger.record(left[:100])}
        assert settled, "a transaction settles one event at least"
        left = [each for each in left if each.key not in settled]
        transactions += 1
    return transactions


def payment(number: int, customer_id: str) -> Delivery:
    stated = intent(f"pi_{number}", customer=customer_id)
    return delivery(event("payment_intent.succeeded", stated, id=f"evt_{number:03}"))


def test_batches_that_run_out_of_time_write_the_rows_of_batches_of_one(
    engine: Engine, another_engine: Callable[[str], Engine]
) -> None:
    batch = everything("deciding")
    hurried = another_engine("hurried")

    record_in(engine, batch, 1)
    transactions = record_all(hasty(hurried, decides=20), batch)

    assert transactions > len(batch) / 25
    assert contents(hurried, without=HISTORY) == contents(engine, without=HISTORY)
    for table in HISTORY:
        assert sorted(contents(hurried)[table]) == sorted(contents(engine)[table])


def test_what_is_not_decided_in_time_leaves_no_trace(engine: Engine) -> None:
    link = event("charge.succeeded", charge_of_both(), id="evt_link")
    given = [payment(1, "cus_1"), payment(2, "cus_2"), delivery(link)]

    settled = hasty(engine, decides=1).record(given)

    assert [each.event_id for each in settled] == ["evt_001", "evt_002"]
    assert rows(engine, "SELECT id FROM stripe_events ORDER BY id") == ["evt_001", "evt_002"]
    parties = rows(engine, "SELECT DISTINCT party FROM memberships ORDER BY party")
    assert parties == ["test:cus_1", "test:cus_2"]
    assert rows(engine, "SELECT object_key FROM memberships WHERE object_key ~ 'ch_'") == []
    assert rows(engine, "SELECT party FROM parties ORDER BY party") == parties


def charge_of_both() -> dict[str, object]:
    """Return a charge that connects the payment of one customer to the other customer."""
    return {
        "id": "ch_1",
        "object": "charge",
        "status": "succeeded",
        "captured": True,
        "amount": 100,
        "amount_captured": 100,
        "amount_refunded": 0,
        "currency": "usd",
        "payment_intent": "pi_1",
        "customer": "cus_2",
        "metadata": {},
    }


def test_events_of_small_parties_are_decided_before_those_of_large_ones(
    ledger: Ledger, engine: Engine
) -> None:
    ledger.record([payment(number, "cus_hot") for number in range(10)])
    given = [payment(number, "cus_hot") for number in (20, 21)]
    given += [payment(number, f"cus_{number}") for number in (30, 31, 32)]

    settled = hasty(engine, decides=3).record(given)

    assert [each.event_id for each in settled] == ["evt_020", "evt_030", "evt_031", "evt_032"]


def test_the_oldest_event_is_decided_however_little_time_there_is(
    ledger: Ledger, engine: Engine
) -> None:
    ledger.record([payment(number, "cus_hot") for number in range(10)])
    given = [payment(20, "cus_hot"), payment(30, "cus_30")]

    settled = hasty(engine, decides=0).record(given)

    assert [each.event_id for each in settled] == ["evt_020"]


def test_a_second_delivery_is_given_back_with_the_first(engine: Engine) -> None:
    given = [payment(1, "cus_1"), payment(2, "cus_2"), replace(payment(2, "cus_2"), attempts=2)]

    settled = hasty(engine, decides=0).record(given)

    assert [each.event_id for each in settled] == ["evt_001"]
    assert rows(engine, "SELECT id FROM stripe_events") == ["evt_001"]


def test_a_replay_that_is_not_decided_keeps_its_row(ledger: Ledger, engine: Engine) -> None:
    ledger.record([payment(1, "cus_1"), payment(2, "cus_2")])
    given = [replace(payment(n, f"cus_{n}"), origin="replay", reason="why") for n in (1, 2)]

    settled = hasty(engine, decides=0).record(given)

    assert outcomes(settled) == [("applied", "already applied")]
    assert rows(engine, "SELECT id FROM stripe_events ORDER BY id") == ["evt_001", "evt_002"]


def test_a_preview_is_not_cut_short(engine: Engine) -> None:
    given = [payment(number, f"cus_{number}") for number in range(4)]

    assert len(hasty(engine, decides=1).preview(given)) == 4


@pytest.mark.parametrize("events", [1, 2])
def test_an_event_that_is_decided_too_slowly_is_no_outage(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, events: int
) -> None:
    """Decide until the server has ended the session, with more to write than fits into one send."""
    ledger = hasty(engine, decides=0)
    add_facts = BatchState.add_facts

    def decide_slowly(batch: BatchState, *given: object) -> object:
        while rows(engine, _IDLE_SESSIONS) != [0]:
            pass
        return add_facts(batch, *given)  # type: ignore[arg-type]

    monkeypatch.setattr(BatchState, "add_facts", decide_slowly)
    monkeypatch.setattr("runtime.ledger.decide.load_past", _briefly_patient(engine))
    stated = customer("cus_1") | {"description": "x" * 1_000_000}
    bodies = [event("customer.updated", stated, at=NOW) for _ in range(events)]

    with pytest.raises(DBAPIError) as raised:
        ledger.record([delivery(body) for body in bodies])

    assert isinstance(classify(raised.value), Transient)


@pytest.mark.parametrize(("events", "seconds"), [(1, "20s"), (2, "7s")])
def test_a_batch_may_pause_for_a_shorter_time_than_an_event_alone(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch, events: int, seconds: str
) -> None:
    seen = []

    def note(connection: Connection, *asked: object, **given: object) -> object:
        limit = "SELECT current_setting('idle_in_transaction_session_timeout')"
        seen.append(connection.scalar(text(limit)))
        return load_past(connection, *asked, **given)  # type: ignore[arg-type]

    monkeypatch.setattr("runtime.ledger.decide.load_past", note)
    bodies = [event("customer.created", customer(f"cus_{n}")) for n in range(events)]

    ledger.record([delivery(body) for body in bodies])

    assert seen == [seconds]


_IDLE_SESSIONS = (
    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
    " AND state = 'idle in transaction'"
)


def _briefly_patient(engine: Engine) -> Callable[..., object]:
    """Return ``load_past`` in a session that may be idle only for a moment, to save 20 seconds."""

    def load_then_hurry(connection: object, *asked: object, **given: object) -> object:
        limit = text("SET LOCAL idle_in_transaction_session_timeout = '100ms'")
        connection.execute(limit)  # type: ignore[attr-defined]
        return load_past(connection, *asked, **given)  # type: ignore[arg-type]

    return load_then_hurry
