"""A replay among stand-ins: what it lets in, when it stops, what it says."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from ops.queries.replay_results import Trace
from ops.replay.requeue import Answer, Entrance
from ops.replay.run import AT_ONCE, DONE, WINDOW, Fate, Pace, Replay, fate_of, why_it_waits
from ops.replay.targets import Target
from ops.terminal.interrupt import Interrupted
from runtime.database.engine import engine_for
from runtime.inbox import encoding as codec
from runtime.inbox.entries import Backlog, Breaker, Glimpse, Lane
from tests.fakes import NOW, FakeClock

EMPTY = codec.backlog([0, 0, b"", 0, 0, 0, 0, b"", 0, 1, 0, 0, 0, b"", -2, 1, 0, 0, b"", -2])


def glimpse(key: str, **given: Any) -> Glimpse:
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
    return Glimpse(**(values | given))


@dataclass
class FakeInbox:
    """Holds what was let in; nothing ever leaves it."""

    inside: list[str] = field(default_factory=list)
    backlog_now: Backlog = EMPTY

    def backlog(self) -> Backlog:
        return replace(self.backlog_now, by_lane={Lane.REPLAY: len(self.inside)})

    def pending(self, keys: Sequence[str]) -> list[str]:
        return [key for key in keys if key in self.inside]

    def peek(self, keys: Sequence[str]) -> list[Glimpse]:
        return [glimpse(key) for key in keys]


@dataclass
class Stage:
    """A replay, its clock and the answers its door gives."""

    total: int
    wait: bool = False
    rate: float | None = None
    entrances: dict[str, list[Entrance]] = field(default_factory=dict)
    inbox: FakeInbox = field(default_factory=FakeInbox)
    clock: FakeClock = field(default_factory=FakeClock)
    batches: list[int] = field(default_factory=list)
    pauses: list[float] = field(default_factory=list)
    stop_after: int | None = None

    def __post_init__(self) -> None:
        self.replay = Replay(
            let_in=self._let_in,
            inbox=self.inbox,  # type: ignore[arg-type]  # what only the door asks for is not here
            engine=engine_for("postgresql://127.0.0.1:1/none", application_name="tests"),
            mark=0,
            pace=Pace(rate=self.rate, clock=self.clock.monotonic),
            wait=self.wait,
            todo=deque(Target(key=f"evt_{n}", buried=True) for n in range(self.total)),
        )

    def run(self) -> Replay:
        self.replay.run(self._pause, lambda _: None)
        return self.replay

    def _let_in(self, targets: Sequence[Target]) -> list[Answer]:
        self.batches.append(len(targets))
        return [self._answer(target) for target in targets]

    def _answer(self, target: Target) -> Answer:
        entrance = (self.entrances.get(target.key) or [Entrance.IN]).pop(0)
        if entrance is Entrance.IN:
            self.inbox.inside.append(target.key)
        return Answer(target=target, entrance=entrance)

    def _pause(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.clock.advance(seconds)
        if self.stop_after is not None and len(self.inbox.inside) >= self.stop_after:
            raise Interrupted


def test_without_a_rate_it_goes_as_fast_as_commits_go() -> None:
    stage = Stage(total=2 * AT_ONCE + 1)

    replay = stage.run()

    assert stage.batches == [AT_ONCE, AT_ONCE, 1]
    assert stage.clock.monotonic() == 0.0
    assert replay.counts() == {Fate.LET_IN: stage.total}


@pytest.mark.parametrize("rate", [0.5, 7.0, 40.0, 1000.0])
def test_a_rate_is_kept_and_not_exceeded(rate: float) -> None:
    stage = Stage(total=60, rate=rate)

    stage.run()

    took = stage.clock.monotonic()
    least = (stage.total - max(stage.batches)) / rate
    assert least <= took + 1e-6
    assert took <= least * 1.5 + 1.0


def test_it_never_fills_the_inbox() -> None:
    stage = Stage(total=WINDOW + 50, stop_after=WINDOW)

    replay = stage.run()

    assert replay.counts() == {Fate.LET_IN: WINDOW, Fate.UNTOUCHED: 50}


def test_an_inbox_full_of_replays_lets_no_more_in() -> None:
    stage = Stage(total=5, inbox=FakeInbox(inside=[f"x_{n}" for n in range(WINDOW)]))
    stage.stop_after = WINDOW

    replay = stage.run()

    assert (stage.batches, replay.counts()) == ([], {Fate.UNTOUCHED: 5})


def test_an_interrupted_one_says_what_it_did_and_leaves_the_rest() -> None:
    stage = Stage(total=60, stop_after=50)

    replay = stage.run()

    assert replay.interrupted
    assert replay.readmitted == 50
    assert replay.counts() == {Fate.LET_IN: 50, Fate.UNTOUCHED: 10}
    assert len(replay.told) == 60


def test_a_letter_that_somebody_holds_is_tried_again_later() -> None:
    stage = Stage(total=2, entrances={"evt_0": [Entrance.BUSY, Entrance.BUSY, Entrance.IN]})

    replay = stage.run()

    assert replay.counts() == {Fate.LET_IN: 2}
    assert any(seconds > 0 for seconds in stage.pauses)


def test_without_waiting_what_was_in_the_inbox_already_is_told_and_left() -> None:
    closed = {"evt_0": [Entrance.PENDING], "evt_1": [Entrance.CLOSED], "evt_2": [Entrance.REFUSED]}

    replay = Stage(total=3, entrances=closed).run()

    fates = {key: told.fate for key, told in replay.told.items()}
    assert fates == {"evt_0": Fate.UNDERWAY, "evt_1": Fate.MEANWHILE, "evt_2": Fate.FAILED}


def test_a_door_that_breaks_leaves_its_batch_untold() -> None:
    stage = Stage(total=3)

    def broken(_: Sequence[Target]) -> list[Answer]:
        raise ConnectionError

    stage.replay.let_in = broken
    with pytest.raises(ConnectionError):
        stage.run()

    assert len(stage.replay.todo) == 3


@pytest.mark.parametrize(
    ("trace", "fate", "says"),
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
        (("dead_letter.replayed", {}), "applied", "by a delivery of stripe's"),
    ],
)
def test_the_audit_is_told_in_words(trace: tuple[str, Any], fate: str, says: str) -> None:
    action, after = trace

    told = fate_of(Trace(action=action, actor="stripe", after=after, reason="why"))

    assert told == (fate, says)


def test_what_keeps_an_event_in_the_inbox_is_told() -> None:
    assert why_it_waits(glimpse("a")) == "it waits for a worker"
    assert why_it_waits(glimpse("a", state="claimed")) == "a worker has it"
    assert why_it_waits(glimpse("a", history={"last_error": "locked"})) == "it waits after locked"


@pytest.mark.parametrize(
    ("backlog", "trouble"),
    [
        (EMPTY, None),
        (replace(EMPTY, processes=0), "no worker runs: start `paidup worker`"),
        (
            replace(EMPTY, breaker=Breaker(reason="refused", until=NOW)),
            "the breaker is open, nothing is applied: refused",
        ),
    ],
)
def test_whoever_waits_learns_why_nothing_moves(
    backlog: Backlog, trouble: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = Stage(total=1, wait=True, inbox=FakeInbox(backlog_now=backlog), stop_after=1)
    monkeypatch.setattr(Replay, "_follow", lambda _: None)

    replay = stage.run()

    assert replay.trouble == trouble
    assert replay.told["evt_0"].fate is Fate.UNDERWAY


def test_only_what_is_settled_or_was_wanted_so_counts_as_done() -> None:
    assert DONE.isdisjoint({Fate.FAILED, Fate.UNDERWAY, Fate.VANISHED, Fate.UNTOUCHED})
    assert {Fate.APPLIED, Fate.ALREADY_APPLIED, Fate.SUPERSEDED, Fate.IGNORED} <= DONE
