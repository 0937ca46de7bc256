"""Many workers at once: nothing deadlocks, and every order ends the same."""

import dataclasses
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from random import Random
from threading import Barrier, Event

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import OperationalError

from billing.catalogue import read_catalogue, write_catalogue
from billing.envelope import Envelope
from billing.ids import ObjectKey, PartyId
from billing.readers.registry import Reading, read_event
from ops.samples.api_shapes import Shape
from ops.samples.lifecycles.registry import compose
from runtime.ledger import locks, prepare, record
from runtime.ledger.catalogues import switch
from runtime.ledger.decide import decide
from runtime.ledger.deliveries import ALREADY_APPLIED, Delivery, Settlement
from runtime.ledger.errors import LocksOutOfOrder
from runtime.ledger.record import Ledger
from runtime.ledger.write import write
from tests.runtime.ledger.conftest import ledger_on
from tests.runtime.ledger.delivery_builders import (
    NOW,
    WAITING,
    contents,
    customer,
    deliveries,
    delivery,
    event,
    example_plans,
    intent,
    rows,
    unbalanced,
)
from tests.workers.waiting import until

pytestmark = pytest.mark.servers

HISTORY = ("audit_logs", "payment_events", "stripe_events", "memberships", "user_versions")


def at_once(engine: Engine, batches: Sequence[list[Delivery]]) -> list[Settlement]:
    """Record each list of deliveries in a thread with its own ledger, in small batches."""
    begin = Barrier(len(batches))

    def work(batch: list[Delivery]) -> list[Settlement]:
        ledger = ledger_on(engine)
        begin.wait()
        return [each for i in range(0, len(batch), 3) for each in ledger.record(batch[i : i + 3])]

    with ThreadPoolExecutor(len(batches)) as pool:
        return [each for settled in pool.map(work, batches) for each in settled]


def test_many_threads_on_one_customer_end_where_one_does(
    engine: Engine, another_engine: Callable[[str], Engine]
) -> None:
    events = deliveries(compose("renewal", shape=Shape.NEW, seed="hot", now=NOW))
    alone = another_engine("alone")
    ledger_on(alone).record(events)
    hands = [events.copy() for _ in range(8)]
    for number, hand in enumerate(hands):
        Random(number).shuffle(hand)  # noqa: S311 - a test that can be repeated

    settled = at_once(engine, hands)

    assert sum(not each.hit for each in settled) == len(events)
    assert contents(engine, without=HISTORY) == contents(alone, without=HISTORY)
    assert unbalanced(engine) == []


def test_interleaved_customers_do_not_deadlock(
    engine: Engine, another_engine: Callable[[str], Engine]
) -> None:
    events = [
        each
        for seed in "abcdef"
        for each in deliveries(compose("refund_full", shape=Shape.OLD, seed=seed, now=NOW))
    ]
    alone = another_engine("alone_many")
    ledger_on(alone).record(events)
    Random("deal").shuffle(events)  # noqa: S311 - a test that can be repeated

    settled = at_once(engine, [events[number::6] for number in range(6)])

    assert len(settled) == len(events)
    assert contents(engine, without=HISTORY) == contents(alone, without=HISTORY)


def test_parties_that_several_threads_connect_become_one(engine: Engine) -> None:
    """Let each thread link other neighbours of one long chain of payments."""
    chain = [
        delivery(event("charge.succeeded", _charge(number), id=f"evt_chain_{number:03}"))
        for number in range(48)
    ]
    Random("chain").shuffle(chain)  # noqa: S311 - a test that can be repeated

    at_once(engine, [chain[number::8] for number in range(8)])

    assert len(set(rows(engine, "SELECT party FROM memberships"))) == 1
    assert len(set(rows(engine, "SELECT party FROM facts"))) == 1
    assert rows(engine, "SELECT count(*) FROM parties") == [1]


def _charge(number: int) -> dict[str, object]:
    """Return a charge of one payment on the invoice of the next."""
    return {
        "id": f"ch_{number}",
        "object": "charge",
        "status": "succeeded",
        "captured": True,
        "amount": 100,
        "amount_captured": 100,
        "amount_refunded": 0,
        "currency": "usd",
        "payment_intent": f"pi_{number}",
        "invoice": f"pi_{number + 1}",
        "metadata": {},
    }


def test_locks_are_taken_in_the_order_of_their_numbers(engine: Engine) -> None:
    """Hold the middle lock elsewhere: those below are taken and none above."""
    parties = sorted((PartyId(f"test:cus_{n}") for n in range(9)), key=locks.number_of)
    with engine.connect() as holder, engine.connect() as waiter:
        locks.lock(holder, [parties[4]], above=())
        waiter.execute(text("SET LOCAL lock_timeout = '100ms'"))
        pid = waiter.connection.dbapi_connection.info.backend_pid  # type: ignore[union-attr]
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(locks.lock, waiter, parties[::-1], above=())
            granted = _granted(engine, pid)
            with pytest.raises(OperationalError, match="lock timeout"):
                waiting.result()

    assert granted == 4


def _granted(engine: Engine, pid: int) -> int:
    """Count the advisory locks a session got before the first it waits for."""
    query = "SELECT granted FROM pg_locks WHERE locktype = 'advisory' AND pid = :pid"
    while False not in (granted := rows(engine, query, pid=pid)):
        pass
    return granted.count(True)


def test_a_lock_below_those_held_is_never_waited_for(engine: Engine) -> None:
    low, high = sorted((PartyId(f"test:cus_{n}") for n in range(2)), key=locks.number_of)
    with engine.connect() as connection:
        locks.lock(connection, [high], above=())

        with pytest.raises(LocksOutOfOrder, match=low):
            locks.lock(connection, [low], above=[high])


def test_a_free_lock_is_taken_without_waiting_for_the_others(engine: Engine) -> None:
    free, held = PartyId("test:cus_1"), PartyId("test:cus_2")
    with engine.connect() as holder, engine.connect() as other:
        locks.lock(holder, [held], above=())

        assert locks.try_lock(other, [free, held]) == [free]


def test_a_lock_goes_to_who_waits_for_it_before_the_next_one_may_try(engine: Engine) -> None:
    """Hold a lock for one step after another: an event waits for one of them at most."""
    party = PartyId("test:cus_1")
    done = Event()

    def apply_event() -> None:
        with engine.begin() as connection:
            locks.lock(connection, [party], above=())
            done.wait(30)

    with ThreadPoolExecutor(1) as pool, engine.connect() as steps:
        locks.try_lock(steps, [party])
        applied = pool.submit(apply_event)
        until(lambda: rows(engine, WAITING) == [1], why="the event waits")
        steps.commit()
        tried = locks.try_lock(steps, [party])
        done.set()
        applied.result()

    assert tried == []


def test_an_object_that_another_transaction_names_first_is_found_out(engine: Engine) -> None:
    """Make the second transaction wait at the row; it retries and finds the party of the first."""
    mentions = frozenset({ObjectKey("test:pi_1"), ObjectKey("test:ch_1")})
    with ThreadPoolExecutor(1) as pool:
        with engine.begin() as first:
            locks.secure(first, [mentions])
            body = event("payment_intent.succeeded", intent("pi_1", customer="cus_1"))
            second = pool.submit(ledger_on(engine).record, [delivery(body)])
            with pytest.raises(TimeoutError):
                second.result(timeout=0.3)
        second.result(timeout=5)

    assert set(rows(engine, "SELECT party FROM memberships")) == {"test:cus_1"}


def test_a_batch_that_comes_too_late_for_its_locks_is_tried_again(
    ledger: Ledger, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    late = iter([LocksOutOfOrder({"test:cus_1"}), LocksOutOfOrder({"test:cus_1"})])

    def decide_late(*given: object) -> object:
        if error := next(late, None):
            raise error
        return decide(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(record, "decide", decide_late)

    (settled,) = ledger.record([delivery(event("customer.updated", customer("cus_1", "usr_1")))])

    assert settled.outcome == "applied"


def test_a_batch_is_not_tried_for_ever(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    tries = []

    def never(*given: object) -> object:
        tries.append(given)
        raise LocksOutOfOrder({"test:cus_1"})

    monkeypatch.setattr(record, "decide", never)

    with pytest.raises(LocksOutOfOrder):
        ledger.record([delivery(event("customer.updated", customer("cus_1")))])

    assert len(tries) == record.MAX_TRIES


def test_of_two_replays_at_once_the_second_sees_the_outcome_of_the_first(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Replay an ignored event, which can be read by now, while another replay of it commits."""
    body = event("customer.updated", customer("cus_1", "usr_1"))
    with monkeypatch.context() as old:
        old.setattr(prepare, "read_event", _ignore)
        ledger_on(engine).record([delivery(body)])
    again = delivery(body, origin="replay", actor="ada", reason="a reader was mended")
    written, may_commit = Event(), Event()

    def write_and_wait(*given: object) -> None:
        write(*given)  # type: ignore[arg-type]
        written.set()
        assert may_commit.wait(60)

    monkeypatch.setattr(record, "write", write_and_wait)
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(ledger_on(engine).record, [again])
        assert written.wait(60)
        second = pool.submit(ledger_on(engine).record, [again])
        until(lambda: rows(engine, WAITING) == [1], why="the second waits for the first")
        may_commit.set()
        (one,), (other,) = first.result(), second.result()

    assert (one.outcome, one.reason) == ("applied", None)
    assert (other.outcome, other.reason) == ("applied", ALREADY_APPLIED)
    assert rows(engine, "SELECT outcome FROM stripe_events") == ["applied"]


def _ignore(envelope: Envelope, _: object = None) -> Reading:
    stated = read_event(dataclasses.replace(envelope, type="unheard.of"))
    assert stated.ignored is not None
    return stated


def test_plans_are_switched_only_between_transactions_that_project(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Apply plans while a transaction has projected by the old ones and has not committed yet."""
    written, may_commit = Event(), Event()

    def write_and_wait(*given: object) -> None:
        write(*given)  # type: ignore[arg-type]
        written.set()
        assert may_commit.wait(60)

    monkeypatch.setattr(record, "write", write_and_wait)
    other = {"policy": {"refund_partial": "end"}}
    plans = read_catalogue(write_catalogue(example_plans()) | other)
    body = event("customer.updated", customer("cus_1", "usr_1"))
    with ThreadPoolExecutor(2) as pool:
        settling = pool.submit(ledger_on(engine).record, [delivery(body)])
        assert written.wait(60)
        try:
            with pytest.raises(OperationalError, match="lock timeout"):
                switch(engine, plans, actor="tests", reason="too early")
        finally:
            may_commit.set()
        settling.result()

    assert switch(engine, plans, actor="tests", reason="in time").version == 2
    assert rows(engine, "SELECT catalogue_version FROM parties") == [1]
