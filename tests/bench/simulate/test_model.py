"""A simulated installation keeps what it was given, and obeys the laws of its parts."""

from collections.abc import Sequence
from itertools import pairwise

import pytest

from bench.simulate.arrivals import Arrival, ArrivalPlan
from bench.simulate.inbox import SimulatedClaim, SimulatedInbox
from bench.simulate.model import Machines, SimulatedFigures, Simulation
from tests.bench.simulate.sample_times import TIMES

BACKLOG = [Arrival(0.0, number % 700) for number in range(5000)]


@pytest.fixture
def claimed(monkeypatch: pytest.MonkeyPatch) -> list[SimulatedClaim]:
    """Record the claims of simulations, and fail if one takes a party that has an owner."""
    claims: list[SimulatedClaim] = []
    take = SimulatedInbox.claim

    def watched(inbox: SimulatedInbox, now: float) -> SimulatedClaim:
        before = set(inbox.held)
        claim = take(inbox, now)
        assert not claim.parties & before, "a party has two owners"
        claims.append(claim)
        return claim

    monkeypatch.setattr(SimulatedInbox, "claim", watched)
    return claims


def drained(workers: int, backlog: Sequence[Arrival] = BACKLOG) -> SimulatedFigures:
    run = Simulation(TIMES, Machines(workers=workers, ingest=2))
    run.drain(backlog, most_seconds=600.0)
    return run.figures


def flowing(rate: float, workers: int, **machines: float) -> SimulatedFigures:
    run = Simulation(TIMES, Machines(workers=workers, ingest=2, **machines))  # type: ignore[arg-type]
    run.run(ArrivalPlan(rate=rate).arrivals(12.0), 10.0, warming=2.0)
    return run.figures


def test_every_event_of_a_backlog_is_settled_once(claimed: list[SimulatedClaim]) -> None:
    figures = drained(4)

    events = [id(event) for claim in claimed for event in claim.events]
    assert len(events) == len(set(events)) == len(BACKLOG)
    assert figures.waiting == 0


def test_every_event_that_arrives_is_settled_once(claimed: list[SimulatedClaim]) -> None:
    events = [Arrival(number / 500, number % 40) for number in range(1, 1001)]
    run = Simulation(TIMES, Machines(workers=2, ingest=2))

    run.run(iter(events), 10.0, warming=0.0)

    assert run.figures.arrived == run.figures.settled == len(run.figures.lags) == 1000
    assert sum(len(claim.events) for claim in claimed) == 1000
    assert run.figures.waiting == 0


def test_no_batch_has_more_events_than_a_claim_may(claimed: list[SimulatedClaim]) -> None:
    drained(4)

    assert max(len(claim.events) for claim in claimed) == 200


def test_one_party_is_settled_in_the_order_in_which_its_events_came(
    claimed: list[SimulatedClaim],
) -> None:
    drained(4, [Arrival(float(number), number % 3) for number in range(2000)])

    for party in range(3):
        theirs = [
            event.seconds for claim in claimed for event in claim.events if event.party == party
        ]
        assert theirs == sorted(theirs)


def test_the_same_run_has_the_same_figures() -> None:
    assert flowing(800, 3) == flowing(800, 3)


def test_more_workers_never_settle_less() -> None:
    rates = [figures.settled / figures.seconds for figures in map(drained, (1, 2, 4, 8, 16))]

    assert all(after >= before * 0.98 for before, after in pairwise(rates))
    assert rates[2] > 3 * rates[0]


def test_workers_of_one_party_are_not_faster_than_one() -> None:
    hot = [Arrival(0.0, 1)] * 3000

    assert drained(8, hot).seconds == pytest.approx(drained(1, hot).seconds, rel=0.05)


def test_each_part_is_busy_for_what_its_work_takes() -> None:
    figures = flowing(1000, 4)

    events = figures.settled / figures.seconds
    batches = figures.batches / figures.seconds
    of_batch = TIMES.batch(round(figures.settled / figures.batches))
    assert figures.used["ingest"] * 2 == pytest.approx(events * TIMES.ingest, rel=0.05)
    assert figures.used["PostgreSQL"] * 8 == pytest.approx(batches * of_batch.postgresql, rel=0.05)
    least = events * TIMES.accept_event + batches * of_batch.redis
    assert least < figures.used["Redis"] < least + events * TIMES.accept_call


def test_workers_far_from_postgresql_settle_less() -> None:
    near, far = flowing(3000, 2), flowing(3000, 2, to_postgresql=0.01)

    assert far.settled < near.settled / 1.5


def test_other_work_on_shared_processors_slows_a_run() -> None:
    alone, beside = flowing(600, 2, shared=2), flowing(600, 2, shared=2, outside=1.4)

    assert sum(beside.lags) / len(beside.lags) > 1.2 * sum(alone.lags) / len(alone.lags)


def test_a_run_without_enough_workers_leaves_events_waiting() -> None:
    figures = flowing(5000, 1)

    assert figures.waiting > 10_000
    assert figures.used["workers"] > 0.9
    assert max(figures.ages) > 5
