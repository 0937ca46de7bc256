"""Run a replay with a fake inbox: its pace, its retries, its end."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
import sqlalchemy as sa

from ops.bulk.results import DONE, ReplayResult, ReplayResults, ReplayStatus
from ops.bulk.run import BATCH_SIZE, WINDOW, Pace, Replay, status_of_trace, why_it_waits
from ops.bulk.targets import Target
from ops.queries.replay_results import ReplayTrace
from ops.terminal.interrupt import Interrupted
from runtime.database.engine import engine_for
from runtime.inbox.entries import Backlog, Breaker, Lane, PeekedEvent
from tests.fakes import NOW, FakeClock
from tests.runtime.inbox.backlogs import EMPTY_BACKLOG


def peeked(key: str, **given: Any) -> PeekedEvent:
    values: dict[str, Any] = {
        "key": key,
        "state": "waiting",
        "lane": Lane.REPLAY,
        "received_at": NOW,
        "due_at": NOW,
        "header": {},
        "history": {},
        "body": b"",
    }
    return PeekedEvent(**(values | given))


@dataclass
class FakeReplayInbox:
    """An inbox that keeps all it was given."""

    inside: list[str] = field(default_factory=list)
    backlog_now: Backlog = EMPTY_BACKLOG

    def backlog(self) -> Backlog:
        return replace(self.backlog_now, by_lane={Lane.REPLAY: len(self.inside)})

    def pending(self, keys: Sequence[str]) -> list[str]:
        return [key for key in keys if key in self.inside]

    def peek(self, keys: Sequence[str]) -> list[PeekedEvent]:
        return [peeked(key) for key in keys]


@dataclass
class ReplayRun:
    """A replay with its clock and the results of each attempt."""

    total: int
    wait: bool = False
    rate: float | None = None
    cut_off: int = 0
    """Events that the file lost since it was counted."""
    statuses: dict[str, list[ReplayStatus]] = field(default_factory=dict)
    inbox: FakeReplayInbox = field(default_factory=FakeReplayInbox)
    clock: FakeClock = field(default_factory=FakeClock)
    batches: list[int] = field(default_factory=list)
    pauses: list[float] = field(default_factory=list)
    stop_after: int | None = None

    def __post_init__(self) -> None:
        self.replay = Replay(
            requeue=self._requeue,
            inbox=self.inbox,  # type: ignore[arg-type]  # a part of the real inbox
            engine=engine_for("postgresql://127.0.0.1:1/none", application_name="tests"),
            mark=0,
            pace=Pace(rate=self.rate, clock=self.clock.monotonic),
            wait=self.wait,
            todo=(
                Target(key=f"evt_{n}", is_dead_letter=True)
                for n in range(self.total - self.cut_off)
            ),
            total=self.total,
        )

    def run(self) -> Replay[Target]:
        self.replay.run(self._pause, lambda _: None)
        return self.replay

    def _requeue(self, targets: Sequence[Target]) -> list[ReplayResult]:
        self.batches.append(len(targets))
        return [self._requeue_one(target) for target in targets]

    def _requeue_one(self, target: Target) -> ReplayResult:
        status = (self.statuses.get(target.key) or [ReplayStatus.QUEUED]).pop(0)
        if status is ReplayStatus.QUEUED:
            self.inbox.inside.append(target.key)
        return ReplayResult(key=target.key, status=status)

    def _pause(self, seconds: float) -> None:
        self.pauses.append(seconds)
        assert len(self.pauses) < 10_000, "it goes on for ever"
        self.clock.advance(seconds)
        if self.stop_after is not None and len(self.inbox.inside) >= self.stop_after:
            raise Interrupted


def test_without_a_rate_it_goes_as_fast_as_commits_go() -> None:
    run = ReplayRun(total=2 * BATCH_SIZE + 1)

    replay = run.run()

    assert run.batches == [BATCH_SIZE, BATCH_SIZE, 1]
    assert run.clock.monotonic() == 0.0
    assert replay.results.counts == {ReplayStatus.QUEUED: run.total}


@pytest.mark.parametrize("rate", [0.5, 7.0, 40.0, 1000.0])
def test_a_rate_is_kept_and_not_exceeded(rate: float) -> None:
    run = ReplayRun(total=60, rate=rate)

    run.run()

    took = run.clock.monotonic()
    least = (run.total - max(run.batches)) / rate
    assert least <= took + 1e-6
    assert took <= least * 1.5 + 1.0


def test_it_never_fills_the_inbox() -> None:
    run = ReplayRun(total=WINDOW + 50, stop_after=WINDOW)

    replay = run.run()

    assert replay.results.counts == {ReplayStatus.QUEUED: WINDOW, ReplayStatus.NOT_STARTED: 50}


def test_an_inbox_full_of_replays_lets_no_more_in() -> None:
    run = ReplayRun(total=5, inbox=FakeReplayInbox(inside=[f"x_{n}" for n in range(WINDOW)]))
    run.stop_after = WINDOW

    replay = run.run()

    assert (run.batches, replay.results.counts) == ([], {ReplayStatus.NOT_STARTED: 5})


@pytest.mark.parametrize("cut_off", [1, 40])
def test_it_ends_if_the_file_it_reads_was_cut_meanwhile(cut_off: int) -> None:
    replay = ReplayRun(total=40, cut_off=cut_off).run()

    queued = {ReplayStatus.QUEUED: 40 - cut_off} if cut_off < 40 else {}
    assert replay.results.counts == {**queued, ReplayStatus.NOT_STARTED: cut_off}
    assert not replay.results.all_done
    assert not replay.interrupted


def test_an_interrupted_one_says_what_it_did_and_leaves_the_rest() -> None:
    run = ReplayRun(total=60, stop_after=50)

    replay = run.run()

    assert replay.interrupted
    assert replay.requeued == 50
    assert replay.results.counts == {ReplayStatus.QUEUED: 50, ReplayStatus.NOT_STARTED: 10}
    assert len(replay.results.listed) == 60


def test_a_letter_that_somebody_holds_is_tried_again_later() -> None:
    run = ReplayRun(
        total=2,
        statuses={"evt_0": [ReplayStatus.LOCKED, ReplayStatus.LOCKED, ReplayStatus.QUEUED]},
    )

    replay = run.run()

    assert replay.results.counts == {ReplayStatus.QUEUED: 2}
    assert any(seconds > 0 for seconds in run.pauses)


def test_without_waiting_what_was_in_the_inbox_already_is_shown_and_left() -> None:
    closed = {
        "evt_0": [ReplayStatus.PENDING],
        "evt_1": [ReplayStatus.RESOLVED_ELSEWHERE],
        "evt_2": [ReplayStatus.FAILED],
    }

    replay = ReplayRun(total=3, statuses=closed).run()

    statuses = {key: result.status for key, result in replay.results.listed.items()}
    assert statuses == {
        "evt_0": ReplayStatus.IN_PROGRESS,
        "evt_1": ReplayStatus.RESOLVED_ELSEWHERE,
        "evt_2": ReplayStatus.FAILED,
    }


def test_a_second_copy_of_an_event_waits_for_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    run = ReplayRun(total=2, wait=True)
    event = Target(key="evt_0", is_dead_letter=False)
    run.replay.todo = iter([event, event])
    settled = ReplayTrace(
        action="replay.settled", actor="x", after={"outcome": "applied"}, reason=""
    )
    monkeypatch.setattr("ops.bulk.run.find_traces", lambda *_: {"evt_0": settled})
    engine = sa.create_engine("sqlite://")
    monkeypatch.setattr(run.replay, "engine", engine)

    replay = run.run()

    engine.dispose()
    assert run.batches == [1, 1]
    assert replay.results.counts == {ReplayStatus.APPLIED: 2}


def test_what_is_only_counted_is_not_read_from_the_file_any_more() -> None:
    run = ReplayRun(total=60, stop_after=50)
    run.replay.results = ReplayResults(unlisted=frozenset({ReplayStatus.NOT_STARTED}), limit=3)

    results = run.run().results

    assert results.counts == {ReplayStatus.QUEUED: 50, ReplayStatus.NOT_STARTED: 10}
    assert len(results.listed) == 3
    assert not results.all_done
    assert next(run.replay.todo).key == "evt_50"


@pytest.mark.parametrize(
    ("trace", "status", "detail"),
    [
        (("replay.settled", {"outcome": "applied", "reason": None}), "applied", ""),
        (
            ("replay.settled", {"outcome": "applied", "reason": "already applied"}),
            "already applied",
            "",
        ),
        (
            ("replay.settled", {"outcome": "superseded", "reason": "superseded by evt_2"}),
            "superseded",
            "superseded by evt_2",
        ),
        (
            ("replay.settled", {"outcome": "ignored", "reason": "unknown_type"}),
            "ignored",
            "unknown_type",
        ),
        (("dead_letter.buried", {"error_type": "KeyError"}), "failed again", "KeyError: why"),
        (("dead_letter.replayed", {}), "applied", "by a delivery from stripe"),
    ],
)
def test_the_audit_is_shown_in_words(trace: tuple[str, Any], status: str, detail: str) -> None:
    action, after = trace

    result = status_of_trace(ReplayTrace(action=action, actor="stripe", after=after, reason="why"))

    assert result == (status, detail)


def test_what_keeps_an_event_in_the_inbox_is_shown() -> None:
    assert why_it_waits(peeked("a")) == "it waits for a worker"
    assert why_it_waits(peeked("a", state="claimed")) == "a worker has it"
    assert (
        why_it_waits(peeked("a", history={"last_error": "locked"}))
        == "it waits for its next try after locked"
    )


@pytest.mark.parametrize(
    ("backlog", "trouble"),
    [
        (EMPTY_BACKLOG, None),
        (replace(EMPTY_BACKLOG, processes=0), "no worker is running: start `paidup worker`"),
        (
            replace(EMPTY_BACKLOG, breaker=Breaker(reason="refused", until=NOW)),
            "the circuit breaker is open, no event is applied: refused",
        ),
    ],
)
def test_whoever_waits_learns_why_nothing_moves(
    backlog: Backlog, trouble: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = ReplayRun(total=1, wait=True, inbox=FakeReplayInbox(backlog_now=backlog), stop_after=1)
    monkeypatch.setattr(Replay, "_collect_results", lambda _: None)

    replay = run.run()

    assert replay.stall_reason == trouble
    assert replay.results.listed["evt_0"].status is ReplayStatus.IN_PROGRESS


def test_only_what_is_settled_or_was_wanted_so_counts_as_done() -> None:
    assert DONE.isdisjoint(
        {ReplayStatus.FAILED, ReplayStatus.IN_PROGRESS, ReplayStatus.LOST, ReplayStatus.NOT_STARTED}
    )
    assert {
        ReplayStatus.APPLIED,
        ReplayStatus.ALREADY_APPLIED,
        ReplayStatus.SUPERSEDED,
        ReplayStatus.IGNORED,
    } <= DONE
