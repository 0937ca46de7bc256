"""A replay of many events: let them in no faster than wanted, and wait for what becomes of each.

It holds nothing that would be lost with it. Interrupted or killed, what was let in is settled by
the workers, the rest is untouched, and the same command does what is left.
"""

from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, Protocol

from sqlalchemy.engine import Engine

from ops.queries.replay_results import BURIED, CLOSED, Trace, traces_since
from ops.replay.requeue import Answer, Entrance
from ops.replay.requeue import Inbox as Door
from ops.replay.targets import Target
from ops.terminal.interrupt import Interrupted
from runtime.inbox.entries import Backlog, Glimpse, Lane
from runtime.ledger.deliveries import ALREADY_APPLIED, Outcome

AT_ONCE: Final = 25
"""Events let in with one COMMIT; their letters are held for so long."""

WINDOW: Final = 1000
"""Replays that wait in the inbox at most: it is there for what Stripe sends."""

LOOK_SECONDS: Final = 0.2
_MOMENT: Final = 0.01
_LATER: Final = frozenset({Entrance.BUSY, Entrance.PENDING})


class Fate(StrEnum):
    """What became of an event that was to be replayed."""

    APPLIED = "applied"
    ALREADY_APPLIED = "already applied"
    SUPERSEDED = "superseded"
    IGNORED = "ignored"
    FAILED = "failed again"
    KNOWN = "here already"
    LEFT_OUT = "left out"
    MEANWHILE = "dealt with meanwhile"
    LET_IN = "readmitted"
    UNDERWAY = "on its way"
    VANISHED = "vanished"
    NOT_TRIED = "not tried"
    UNTOUCHED = "untouched"


DONE: Final = frozenset(Fate) - {
    *(Fate.FAILED, Fate.UNDERWAY, Fate.VANISHED, Fate.NOT_TRIED, Fate.UNTOUCHED)
}
"""Nothing is left to do about these."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """An event, what became of it, and what else there is to say."""

    key: str
    fate: Fate
    says: str = ""


class Inbox(Door, Protocol):
    """The inbox, as far as a replay looks into it."""

    def pending(self, keys: Sequence[str]) -> list[str]:
        """Which of these are still there."""
        ...

    def backlog(self) -> Backlog:
        """How much waits."""
        ...


@dataclass(slots=True, kw_only=True)
class Pace:
    """At most ``rate`` events a second; None is as fast as it goes."""

    rate: float | None
    clock: Callable[[], float]
    _next_at: float = field(default=float("-inf"))

    def allowed(self) -> int:
        """How many may go now."""
        if self.rate is None:
            return AT_ONCE
        if self.clock() < self._next_at:
            return 0
        return max(1, min(AT_ONCE, int(self.rate * LOOK_SECONDS)))

    def left(self) -> float:
        """Seconds until more may go, at least a moment."""
        return max(self._next_at - self.clock(), _MOMENT) if self.rate else LOOK_SECONDS

    def went(self, number: int) -> None:
        """So many have gone."""
        if self.rate is not None:
            self._next_at = max(self._next_at, self.clock()) + number / self.rate


@dataclass(slots=True, kw_only=True)
class Replay:
    """One run; ``told`` has every event at its end."""

    let_in: Callable[[Sequence[Target]], list[Answer]]
    inbox: Inbox
    engine: Engine
    mark: int
    pace: Pace
    wait: bool
    todo: deque[Target]
    total: int = 0
    readmitted: int = 0
    interrupted: bool = False
    trouble: str | None = None
    """Why nothing may be moving."""
    underway: dict[str, Target] = field(default_factory=dict)
    told: dict[str, Told] = field(default_factory=dict)
    _looked_at: float = float("-inf")

    def __post_init__(self) -> None:
        self.total = len(self.todo)

    def run(self, pause: Callable[[float], None], show: Callable[["Replay"], None]) -> None:
        """Until nothing is left to wait for, or ``pause`` raises ``Interrupted``."""
        try:
            while self.todo or (self.wait and self.underway):
                moved = self._enter()
                self._look()
                show(self)
                pause(0.0 if moved else min(self.pace.left(), LOOK_SECONDS))
        except Interrupted:
            self.interrupted = True
        self._close()

    def counts(self) -> Counter[Fate]:
        """How many events had which fate so far."""
        return Counter(told.fate for told in self.told.values())

    def _enter(self) -> bool:
        number = min(self.pace.allowed(), self._room()) if self.todo else 0
        batch = [self.todo.popleft() for _ in range(min(number, len(self.todo)))]
        if not batch:
            return False
        try:
            answers = self.let_in(batch)
        except Exception:
            self.todo.extendleft(reversed(batch))
            raise
        for answer in answers:
            self._take(answer)
        entered = sum(answer.entrance is Entrance.IN for answer in answers)
        self.readmitted += entered
        self.pace.went(entered)
        return any(answer.entrance not in _LATER for answer in answers)

    def _room(self) -> int:
        return max(WINDOW - self.inbox.backlog().by_lane[Lane.REPLAY], 0)

    def _take(self, answer: Answer) -> None:
        key = answer.target.key
        match answer.entrance:
            case Entrance.IN | Entrance.JOINED:
                self.underway[key] = answer.target
            case Entrance.BUSY:
                self.todo.append(answer.target)
            case Entrance.PENDING if self.wait:
                self.todo.append(answer.target)
            case Entrance.PENDING:
                self._tell(key, Fate.UNDERWAY, "it was in the inbox already")
            case Entrance.CLOSED:
                self._tell(key, Fate.MEANWHILE, answer.says)
            case Entrance.REFUSED:
                self._tell(key, Fate.FAILED, answer.says)
            case Entrance.KNOWN:
                self._tell(key, Fate.KNOWN)
            case Entrance.LEFT_OUT:
                self._tell(key, Fate.LEFT_OUT, answer.says)

    def _look(self) -> None:
        now = self.pace.clock()
        if self.wait and self.underway and now - self._looked_at >= LOOK_SECONDS:
            self._looked_at = now
            self.trouble = _trouble(self.inbox.backlog())
            self._follow()

    def _follow(self) -> None:
        """The inbox first: what left it between the two questions has its trace by then."""
        keys = list(self.underway)
        inside = set(self.inbox.pending(keys))
        with self.engine.connect() as connection:
            traces = traces_since(connection, keys, self.mark)
        for key in keys:
            if trace := traces.get(key):
                self._settle(key, *fate_of(trace))
            elif key not in inside:
                self._settle(key, Fate.VANISHED, "it left the inbox without a trace; replay it")

    def _settle(self, key: str, fate: Fate, says: str) -> None:
        del self.underway[key]
        self._tell(key, fate, says)

    def _tell(self, key: str, fate: Fate, says: str = "") -> None:
        self.told[key] = Told(key=key, fate=fate, says=says)

    def _close(self) -> None:
        for target in self.todo:
            self._tell(target.key, Fate.UNTOUCHED)
        if not self.wait:
            for key in self.underway:
                self._tell(key, Fate.LET_IN)
        elif self.underway:
            self._follow()
            for glimpse in self.inbox.peek(list(self.underway)):
                self._tell(glimpse.key, Fate.UNDERWAY, why_it_waits(glimpse))


def _trouble(backlog: Backlog) -> str | None:
    if backlog.breaker is not None:
        return f"the breaker is open, nothing is applied: {backlog.breaker.reason}"
    return None if backlog.processes else "no worker runs: start `paidup worker`"


def fate_of(trace: Trace) -> tuple[Fate, str]:
    """What the audit says of an event, in our words."""
    if trace.action == BURIED:
        return Fate.FAILED, f"{trace.after.get('error_type')}: {trace.reason}"
    if trace.action == CLOSED:
        return Fate.APPLIED, f"by a delivery of {trace.actor}'s"
    return fate_of_outcome(Outcome(trace.after["outcome"]), trace.after.get("reason"))


def fate_of_outcome(outcome: Outcome, reason: str | None) -> tuple[Fate, str]:
    """What the ledger says of a replay, in our words."""
    if reason == ALREADY_APPLIED:
        return Fate.ALREADY_APPLIED, ""
    fate = {
        Outcome.APPLIED: Fate.APPLIED,
        Outcome.SUPERSEDED: Fate.SUPERSEDED,
        Outcome.IGNORED: Fate.IGNORED,
    }[outcome]
    return fate, reason or ""


def why_it_waits(glimpse: Glimpse) -> str:
    """What keeps an event in the inbox, as far as its history tells."""
    if error := glimpse.history.get("last_error"):
        return f"it waits after {error}"
    return "a worker has it" if glimpse.state == "claimed" else "it waits for a worker"
