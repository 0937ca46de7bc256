"""Plan deliveries: lifecycles mixed, shuffled and repeated from a seed.

Events are generated when they are needed, so that a long run uses little memory. Shuffling covers
``BLOCK`` lifecycles at a time.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice, product
from random import Random

from ops.samples.api_shapes import Shape
from ops.samples.lifecycles.registry import Lifecycle, compose, scenarios_in
from ops.samples.scenario import Event

BLOCK = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class TrafficPlan:
    """A plan of deliveries; the same plan gives the same bytes in the same order."""

    scenarios: tuple[str, ...]
    shapes: tuple[Shape, ...]
    seed: str
    now: int
    count: int
    user_id: str | None = None
    shuffle: int | None = None
    duplicates: int = 0

    @property
    def kinds(self) -> tuple[tuple[str, Shape], ...]:
        """The scenarios and shapes that take turns, without pairs that never existed."""
        pairs = product(self.scenarios, self.shapes)
        return tuple((name, shape) for name, shape in pairs if name in scenarios_in(shape))

    @property
    def deliveries(self) -> int:
        """The number of requests in the plan."""
        kinds = self.kinds
        sizes = [len(self._tell(kind, index).events) for index, kind in enumerate(kinds)]
        rounds, rest = divmod(self.count, len(kinds))
        return (rounds * sum(sizes) + sum(sizes[:rest])) * (1 + self.duplicates)

    def once_each(self) -> "TrafficPlan":
        """Return the plan with one lifecycle of every kind."""
        return replace(self, count=len(self.kinds))

    def lifecycles(self) -> Iterator[Lifecycle]:
        """Yield every lifecycle of the plan."""
        kinds = self.kinds
        return (self._tell(kinds[i % len(kinds)], i) for i in range(self.count))

    def events(self) -> Iterator[Event]:
        """Yield every delivery of the plan, repetitions included, in the order of sending."""
        remaining = self.lifecycles()
        chance = Random(self.shuffle)  # noqa: S311 - the order must be repeatable
        while block := list(islice(remaining, BLOCK)):
            events = [event for lifecycle in block for event in lifecycle.events]
            repeated = [event for event in events for _ in range(1 + self.duplicates)]
            if self.shuffle is not None:
                chance.shuffle(repeated)
            yield from repeated

    def _tell(self, kind: tuple[str, Shape], index: int) -> Lifecycle:
        name, shape = kind
        seed = f"{self.seed}/{index}"
        return compose(name, shape=shape, seed=seed, now=self.now, user_id=self.user_id)
