"""The measured figures and their goals."""

from dataclasses import dataclass
from statistics import median
from typing import Any, Final, NamedTuple

USUAL_SETTING: Final = ""
"""Two worker processes and an initially empty database; also for figures that need neither."""


class Figure(NamedTuple):
    """The key of a number: its kind, candidate, unit and setting."""

    kind: str
    name: str
    unit: str
    setting: str = USUAL_SETTING


class Figures:
    """Every value of every figure, in the order in which they were first measured."""

    def __init__(self) -> None:
        self.values: dict[Figure, list[float]] = {}

    def note(
        self, kind: str, name: str, unit: str, value: float, *, setting: str = USUAL_SETTING
    ) -> None:
        """Add the value of one round."""
        self.values.setdefault(Figure(kind, name, unit, setting), []).append(value)

    def median(self, kind: str, name: str, setting: str = USUAL_SETTING) -> float | None:
        """Return the median of the rounds, or None if there is none."""
        values = self.taken(kind, name, setting)
        return median(values) if values else None

    def taken(self, kind: str, name: str, setting: str = USUAL_SETTING) -> list[float]:
        """Return the value of each round."""
        wanted = (kind, name, setting)
        found = (
            values
            for figure, values in self.values.items()
            if (figure.kind, figure.name, figure.setting) == wanted
        )
        return next(found, [])

    def as_json(self) -> list[dict[str, Any]]:
        """Return every figure with its median and all values."""
        return [
            {**figure._asdict(), "median": median(values), "all": values}
            for figure, values in self.values.items()
        ]


ACKNOWLEDGED: Final = "acknowledged"
END_TO_END: Final = "end to end"
DRAIN: Final = "drain"
ANSWER: Final = "answer at 1,000/s while workers drain"
APPLIED: Final = "from acknowledged to applied"
CATCH_UP: Final = "backlog"
CPU: Final = "CPU per 1,000 events"
BYTES: Final = "bytes per 1,000 events"
MEMORY: Final = "memory of each process"

PAIDUP: Final = "Paidup"
SECOND_MIX: Final = "Paidup, second mix"
USUAL: Final = "the usual handler"
DJSTRIPE: Final = "dj-stripe"
SYNC_ENGINE: Final = "stripe-sync-engine"
NOTHING: Final = "202 doing nothing"
ONE_WRITE: Final = "one Redis write"
PIPELINE: Final = "one psycopg pipeline"
FILLED: Final = "2 processes, filled database"

BEFORE: Final = "before the backlog"
AFTER: Final = "after the backlog"

Key = tuple[str, str] | tuple[str, str, str]
"""The kind and name, and the setting if it is not the usual one."""


def processes(count: int, *, second: bool = False) -> str:
    """Return the label of a number of worker processes, as a setting and as a drain."""
    return f"{count} process{'es' * (count > 1)}{', second mix' * second}"


GROWTH: Final = {
    processes(1): processes(1),
    processes(2): USUAL_SETTING,
    processes(4): processes(4),
    FILLED: FILLED,
}
"""Settings to compare, by their labels, which are also the names of drains."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """The median of a figure, or of its ratio to another one, and the bound for it.

    Ratios are computed for each round: a machine that slows down during a run slows both sides.
    """

    says: str
    of: Key
    to: Key | None = None
    least: float | None = None
    most: float | None = None

    def value(self, figures: Figures) -> float | None:
        """Return the measured value; None if a part of it was not measured."""
        above = figures.taken(*self.of)
        below = figures.taken(*self.to) if self.to else [1.0] * len(above)
        # A run that is not finished may lack one side of its last round.
        values = [one / other for one, other in zip(above, below, strict=False) if other]
        return median(values) if values else None

    @property
    def wanted(self) -> str:
        """Return the goal in a few characters."""
        return f">= {self.least:g}" if self.least is not None else f"< {self.most:g}"

    def reached(self, value: float) -> bool:
        """Return True if the value meets the goal."""
        if self.least is not None:
            return value >= self.least
        return self.most is not None and value < self.most


GOALS: Final = (
    Goal(
        says="end to end, Paidup to the usual handler",
        of=(END_TO_END, PAIDUP),
        to=(END_TO_END, USUAL),
        least=8,
    ),
    Goal(
        says="end to end, Paidup to dj-stripe",
        of=(END_TO_END, PAIDUP),
        to=(END_TO_END, DJSTRIPE),
        least=22,
    ),
    Goal(
        says="end to end, Paidup to stripe-sync-engine",
        of=(END_TO_END, PAIDUP),
        to=(END_TO_END, SYNC_ENGINE),
        least=1.1,
    ),
    Goal(
        says="acknowledged, Paidup to one Redis write",
        of=(ACKNOWLEDGED, PAIDUP),
        to=(ACKNOWLEDGED, ONE_WRITE),
        least=0.7,
    ),
    Goal(
        says="drain, two processes to one, second mix",
        of=(DRAIN, processes(2, second=True)),
        to=(DRAIN, processes(1, second=True)),
        least=1.4,
    ),
    Goal(says="drain, two processes, events/s", of=(DRAIN, processes(2)), least=6000),
    Goal(
        says="drain, two processes to the pipeline",
        of=(DRAIN, processes(2)),
        to=(DRAIN, PIPELINE),
        least=0.36,
    ),
    Goal(says="p99 of the answer at 1,000/s, ms", of=(ANSWER, "p99"), most=25),
    Goal(says="p99 to applied at 1,000/s, ms", of=(APPLIED, "1,000/s, p99"), most=250),
    Goal(
        says="drain, filled database to an empty one",
        of=(DRAIN, FILLED),
        to=(DRAIN, processes(2)),
        least=0.9,
    ),
    Goal(
        says="end to end, filled database to an empty one",
        of=(END_TO_END, PAIDUP, FILLED),
        to=(END_TO_END, PAIDUP),
        least=0.9,
    ),
    *(
        Goal(
            says=f"memory of {name}, after the backlog to before",
            of=(MEMORY, f"{name}, {AFTER}"),
            to=(MEMORY, f"{name}, {BEFORE}"),
            most=1.15,
        )
        for name in ("ingest", "worker")
    ),
)


def measured_goals(figures: Figures) -> list[tuple[Goal, float]]:
    """Return the goals that were measured, each with its value."""
    values = ((goal, goal.value(figures)) for goal in GOALS)
    return [(goal, value) for goal, value in values if value is not None]


def grown(figures: Figures) -> list[tuple[Figure, list[float | None]]]:
    """Return the figures of several settings, with the median of each of ``GROWTH``."""
    taken = {
        each._replace(setting=USUAL_SETTING)
        for each in figures.values
        if each.setting != USUAL_SETTING
    }
    rows = [
        (figure, [figures.median(*figure[:2], setting) for setting in GROWTH.values()])
        for figure in figures.values
        if figure in taken
    ]
    drains = [figures.median(DRAIN, name) for name in GROWTH]
    if any(drains):
        rows.append((Figure(DRAIN, PAIDUP, "events/s"), drains))
    return rows
