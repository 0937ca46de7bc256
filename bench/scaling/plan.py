"""Plan a load that rises, bursts and falls, and what goes wrong in it. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadPhase:
    """Seconds in which the rate goes evenly from one number to another, after a burst."""

    seconds: float
    first: float
    last: float
    burst: int = 0

    def arrived(self, seconds: float) -> float:
        """Return the events of its first seconds."""
        slope = (self.last - self.first) / self.seconds
        return self.burst + self.first * seconds + slope * seconds * seconds / 2


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadPlan:
    """A load, and when PostgreSQL is frozen in it."""

    phases: Sequence[LoadPhase]
    frozen_at: float
    frozen_seconds: float
    """It does not follow the others when all is made faster: time limits of Paidup stay, too."""

    @property
    def seconds(self) -> float:
        """Return how long the load lasts."""
        return sum(phase.seconds for phase in self.phases)

    def arrived(self, seconds: float) -> int:
        """Return the events that have come so many seconds after the start."""
        events, left = 0.0, seconds
        for phase in self.phases:
            if left < 0:
                break
            events += phase.arrived(min(left, phase.seconds))
            left -= phase.seconds
        return int(events)

    def is_frozen(self, seconds: float) -> bool:
        """Return True while PostgreSQL is to be frozen."""
        return self.frozen_at <= seconds < self.frozen_at + self.frozen_seconds

    def faster(self, times: float) -> "LoadPlan":
        """Return the plan with shorter phases of the same rates."""
        return replace(
            self,
            phases=[replace(phase, seconds=phase.seconds / times) for phase in self.phases],
            frozen_at=self.frozen_at / times,
        )


RISE_AND_FALL: Final = LoadPlan(
    phases=[
        LoadPhase(seconds=30, first=20, last=20),
        LoadPhase(seconds=300, first=20, last=300),
        LoadPhase(seconds=60, first=300, last=300),
        LoadPhase(seconds=60, first=300, last=100),
        LoadPhase(seconds=60, first=100, last=100, burst=3000),
        LoadPhase(seconds=45, first=100, last=0),
    ],
    frozen_at=345,
    frozen_seconds=8,
)
"""One process of a distant database is enough for its beginning, and several for its middle."""
