"""A slow failure or a slow decision holds up no other customer, at production's time limits."""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime

import pytest
import sqlalchemy as sa

from billing.ids import EventId, PartyId
from billing.readers.registry import read_event
from runtime.ledger.admit import open_transaction
from runtime.ledger.batch_state import BatchState
from runtime.ledger.catalogues import CatalogueCache
from runtime.ledger.deliveries import STRIPE, Delivery
from runtime.ledger.locks import number_of, secure
from runtime.ledger.record import Ledger
from runtime.ledger.write import ChangeCause, PendingWrites, write
from tests.faults.fault_env import FaultSite, trickle, workers
from tests.faults.purchases import purchases
from tests.workers.waiting import until

pytestmark = [pytest.mark.servers, pytest.mark.slow]

LONGEST_WAIT = 10.0
"""Seconds within which an event settles whose own servers and customer are well."""

FULL = bool(os.environ.get("PAIDUP_TEST_FULL"))
"""Set by ``make test-all``; otherwise the long tests run for a shorter time."""


@dataclass
class WaitMeter:
    """Measures the longest time that an accepted event has waited so far."""

    site: FaultSite
    since: dict[str, float] = field(default_factory=dict)
    longest: float = 0.0

    def look(self, ids: Iterator[str]) -> None:
        """Note new events, and measure those that are not settled yet."""
        now = time.monotonic()
        for each in ids:
            self.since.setdefault(each, now)
        settled = self.site.settled()
        for each in [each for each in self.since if each not in settled]:
            self.longest = max(self.longest, now - self.since[each])


@contextmanager
def locked(site: FaultSite, customer: str) -> Iterator[None]:
    """Hold a customer's lock, as an operator's open transaction in psql does."""
    with site.engine.connect() as connection:
        connection.execute(sa.text("SET idle_in_transaction_session_timeout = 0"))
        lock = {"it": number_of(PartyId(f"test:{customer}"))}
        connection.execute(sa.text("SELECT pg_advisory_xact_lock(:it)"), lock)
        yield
        connection.rollback()


def attempts(site: FaultSite, ids: list[str]) -> int:
    return max(int(peeked.history.get("attempts", 0)) for peeked in site.inbox.peek(ids))


@pytest.mark.parametrize("processes", ["1", "2"])
def test_a_lock_on_one_customer_delays_no_event_that_shares_its_batch(
    site: FaultSite, processes: str
) -> None:
    """Accept all before a worker runs, so that its first claim takes them together."""
    delayed = site.take_quietly(["locked.1"])
    others = site.take_quietly(f"free.{number}" for number in range(14))
    with locked(site, "cus_locked"), workers(site, PAIDUP_WORKER_PROCESSES=processes):
        until(lambda: attempts(site, delayed) >= 1, seconds=60, why="a worker met the lock")
        met_at = time.monotonic()
        until(lambda: site.is_settled(others), seconds=LONGEST_WAIT, why="the others are settled")
        assert time.monotonic() - met_at < LONGEST_WAIT
        until(lambda: attempts(site, delayed) >= 2, seconds=60, why="it was tried again")
        assert not site.inbox.breaker_open()
        assert not site.is_settled(delayed)
    with workers(site):
        site.check_result()


def test_a_lock_on_one_customer_delays_no_stream_of_others(site: FaultSite) -> None:
    """Send 18 events a second, every sixth of the locked customer, while the lock is held."""

    def name(number: int) -> str:
        return f"locked.{number}" if number % 6 == 5 else f"free{number % 40}.{number}"

    waits = WaitMeter(site)
    with workers(site, PAIDUP_WORKER_PROCESSES="1") as worker:
        until(lambda: len(worker.children) == 1, why="the pool runs")
        with locked(site, "cus_locked"), trickle(site, rate=18, names=name) as tried:
            ends_at = time.monotonic() + (60 if FULL else 20)
            while time.monotonic() < ends_at:
                waits.look(each for each in tuple(tried) if "locked" not in each)
                time.sleep(0.05)
        site.check_result()

    print(f"longest wait of others: {waits.longest:.1f} s")  # noqa: T201 - shown when it fails
    assert waits.longest < LONGEST_WAIT
    assert site.dead() == []


def test_a_frozen_process_delays_no_customer_of_whom_it_holds_nothing(site: FaultSite) -> None:
    """Freeze it with the locks of 60 customers, whose events others take when its claim ends."""
    held = site.take_quietly(f"held{number}.1" for number in range(60))
    waits = WaitMeter(site)
    with workers(site, "freeze_before_commit"):
        until((site.folder / "frozen").exists, why="a process froze")
        with trickle(site, rate=18, names=lambda number: f"free{number}.1") as tried:
            until(
                lambda: site.is_settled(held),
                seconds=120,
                meanwhile=lambda: waits.look(iter(tuple(tried))),
                why="other processes settled what it held",
            )
        os.kill(int((site.folder / "frozen").read_text()), signal.SIGCONT)
        site.check_result()

    print(f"longest wait of others: {waits.longest:.1f} s")  # noqa: T201 - shown when it fails
    assert waits.longest < LONGEST_WAIT
    assert site.dead() == []


PAYMENTS = 4_000
"""So many payments of one customer take about a second to decide, for each further event."""


def give_a_long_past(site: FaultSite, customer: str) -> None:
    """Store what ``PAYMENTS`` events of a customer that were settled one by one have left."""
    envelopes = purchases(f"{customer}.old{number}" for number in range(PAYMENTS))
    facts = [fact for envelope in envelopes for fact in read_event(envelope).facts]
    mentions = frozenset(key for fact in facts for key in (fact.object_key, *fact.mentions))
    pending = PendingWrites()
    with site.engine.begin() as connection:
        now = open_transaction(connection).now
        (assignment,) = secure(connection, [mentions]).assignments
        batch = BatchState({}, plans=CatalogueCache().current(connection), now=now)
        decisions = batch.add_facts(batch.party_for(assignment), facts)
        cause = ChangeCause(
            actor="tests",
            origin="stripe",
            occurred_at=now,
            event_id=EventId(f"evt_{customer}.old"),
            event_type="checkout.session.completed",
        )
        pending.facts = [(assignment.party, fact) for fact in facts]
        pending.add(cause, assignment.party, decisions)
        write(connection, pending, batch, {})


def seconds_to_decide(site: FaultSite, customer: str) -> float:
    """Return how long one more event of a customer takes on this machine, busy as it is now."""
    ledger = Ledger(site.engine, livemode="any", accounts=frozenset())
    (envelope,) = purchases([f"{customer}.preview"])
    started = time.monotonic()
    ledger.preview(
        [
            Delivery(
                envelope=envelope,
                received_at=datetime.now(UTC),
                attempts=1,
                origin=STRIPE,
                key=envelope.event_id,
            )
        ]
    )
    return time.monotonic() - started


@pytest.mark.parametrize("hot", [("hot1",), ("hot1", "hot2")], ids=["one", "two"])
def test_customers_with_a_long_past_delay_no_other(site: FaultSite, hot: tuple[str, ...]) -> None:
    for customer in hot:
        give_a_long_past(site, customer)
    bound = max(LONGEST_WAIT, 5 * seconds_to_decide(site, hot[0]))
    slow = site.take_quietly(f"{customer}.{n}" for customer in hot for n in range(180))
    waits = WaitMeter(site)
    with workers(site) as worker:
        worker.until_ready()
        until(lambda: site.settled().keys() & set(slow) != set(), why="one of them is settled")
        with trickle(site, rate=10, names=lambda number: f"free{number}.1") as tried:
            ends_at = time.monotonic() + (60 if FULL else 20)
            while time.monotonic() < ends_at:
                waits.look(iter(tuple(tried)))
                time.sleep(0.05)
        until(lambda: site.is_settled(tried), seconds=bound, why="the last are settled")
        before = site.settled_count()
        until(lambda: site.settled_count() > before, seconds=60, why="the slow ones go on")

    print(f"longest wait of others: {waits.longest:.1f} s")  # noqa: T201 - shown when it fails
    assert waits.longest < bound
    assert site.dead() == []
    assert site.inbox.backlog().counters.get("reclaimed", 0) == 0
    assert attempts(site, [each for each in slow if not site.is_settled([each])]) == 0
