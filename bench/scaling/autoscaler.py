"""Decide on the number of workers as Kubernetes does with our ScaledObject, without a cluster.

KEDA polls the query and keeps the value until the next poll. The Horizontal Pod Autoscaler looks at
it every few seconds: it divides it by what one worker does, leaves the number as it is within its
tolerance, goes down only to the highest number of its window, and changes no more in a period than
its policies allow. The settings are those of ``deploy/kubernetes/worker-scaling.yaml``.
"""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import ceil
from pathlib import Path
from typing import Any, Final

import yaml

MANIFEST: Final = Path(__file__).parents[2] / "deploy" / "kubernetes" / "worker-scaling.yaml"
SYNC_SECONDS: Final = 15.0
"""Between two looks of the autoscaler, as Kubernetes sets it by default."""
TOLERANCE: Final = 0.1
"""The same: so little that the value may differ from the number that runs without a change."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScalingPolicy:
    """The most by which the number may change within a period."""

    percent: bool
    value: int
    seconds: float

    def most(self, before: int) -> int:
        """Return the change that it allows to a number as it was before the period."""
        return ceil(before * self.value / 100) if self.percent else self.value


@dataclass(frozen=True, slots=True, kw_only=True)
class ScalingDirection:
    """The rules for one direction; of several policies the one that allows most counts."""

    window_seconds: float
    policies: Sequence[ScalingPolicy]


@dataclass(frozen=True, slots=True, kw_only=True)
class ScalingRules:
    """The settings of the ScaledObject, and how many processes a worker has."""

    poll_seconds: float
    sync_seconds: float
    fewest: int
    most: int
    processes_each: int
    up: ScalingDirection
    down: ScalingDirection

    def faster(self, times: float) -> "ScalingRules":
        """Return the rules with all times divided."""
        return replace(
            self,
            poll_seconds=self.poll_seconds / times,
            sync_seconds=self.sync_seconds / times,
            up=_faster(self.up, times),
            down=_faster(self.down, times),
        )


def read_rules(*, fewest: int, most: int, processes_each: int) -> ScalingRules:
    """Return the times and policies of the manifest, with the numbers of another installation."""
    spec = yaml.safe_load(MANIFEST.read_text(encoding="utf-8"))["spec"]
    behavior = spec["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]
    (trigger,) = spec["triggers"]
    return ScalingRules(
        poll_seconds=float(spec["pollingInterval"]) if trigger["useCachedMetrics"] else 0.0,
        sync_seconds=SYNC_SECONDS,
        fewest=fewest,
        most=most,
        processes_each=processes_each,
        up=_read_direction(behavior["scaleUp"]),
        down=_read_direction(behavior["scaleDown"]),
    )


class Autoscaler:
    """The number of workers over time; ``read`` returns the value, None if there is no sample."""

    def __init__(self, rules: ScalingRules, read: Callable[[], int | None]) -> None:
        self.workers = rules.fewest
        self.changes: list[tuple[float, int]] = []
        """When the number changed, and by how many."""
        self._rules = rules
        self._read = read
        self._value: int | None = None
        self._polled_at = self._looked_at = float("-inf")
        self._recommended = deque[tuple[float, int]]()

    def look(self, now: float) -> None:
        """Change the number if it is time to look, and there is a reason."""
        rules = self._rules
        if now - self._looked_at < rules.sync_seconds:
            return
        self._looked_at = now
        if now - self._polled_at >= rules.poll_seconds:
            self._value, self._polled_at = self._read(), now
        if self._value is None:
            return
        wanted = self._allowed(now, self._settled(now, self._wanted(self._value)))
        if wanted != self.workers:
            self.changes.append((now, wanted - self.workers))
            self.workers = wanted

    def _wanted(self, value: int) -> int:
        wanted = value / self._rules.processes_each
        if abs(wanted / self.workers - 1) <= TOLERANCE:
            return self.workers
        return ceil(wanted)

    def _settled(self, now: float, wanted: int) -> int:
        """Return the number that the windows let through."""
        up, down = self._rules.up.window_seconds, self._rules.down.window_seconds
        self._recommended.append((now, wanted))
        while self._recommended[0][0] < now - max(up, down):
            self._recommended.popleft()
        highest = max(each for at, each in self._recommended if at >= now - down)
        lowest = min(each for at, each in self._recommended if at >= now - up)
        return max(min(self.workers, highest), lowest)

    def _allowed(self, now: float, wanted: int) -> int:
        """Return the number as near to the wanted one as policies and limits allow."""
        up, down = self._rules.up.policies, self._rules.down.policies
        highest = max(self._reach(now, policy, 1) for policy in up)
        lowest = min(self._reach(now, policy, -1) for policy in down)
        wanted = min(wanted, max(highest, self.workers))
        wanted = max(wanted, min(lowest, self.workers))
        return min(max(wanted, self._rules.fewest), self._rules.most)

    def _reach(self, now: float, policy: ScalingPolicy, sign: int) -> int:
        """Return the number that the policy allows, from the one at the start of its period."""
        changed = (by for at, by in self.changes if at > now - policy.seconds and by * sign > 0)
        before = self.workers - sum(changed)
        return before + sign * policy.most(before)


def _read_direction(behavior: dict[str, Any]) -> ScalingDirection:
    return ScalingDirection(
        window_seconds=float(behavior["stabilizationWindowSeconds"]),
        policies=[
            ScalingPolicy(
                percent=policy["type"] == "Percent",
                value=policy["value"],
                seconds=float(policy["periodSeconds"]),
            )
            for policy in behavior["policies"]
        ],
    )


def _faster(direction: ScalingDirection, times: float) -> ScalingDirection:
    return ScalingDirection(
        window_seconds=direction.window_seconds / times,
        policies=[replace(policy, seconds=policy.seconds / times) for policy in direction.policies],
    )
