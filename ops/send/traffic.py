"""Plan deliveries: lifecycles mixed, shuffled and repeated from a seed.

Events are generated when they are needed, so that a long run uses little memory. Shuffling covers
``BLOCK`` lifecycles at a time.
"""

from collections.abc import Iterable, Iterator, Sequence
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
        yield from mix(self._blocks(), shuffle=self.shuffle, duplicates=self.duplicates)

    def users(self, most: int) -> Sequence[str]:
        """Return the first users of the plan, at most so many."""
        users = (lifecycle.user_id for lifecycle in islice(self.lifecycles(), most))
        return list(dict.fromkeys(users))

    @property
    def user_count(self) -> int:
        """The number of different users in the plan."""
        return self.count if self.user_id is None else 1

    def _blocks(self) -> Iterator[list[Event]]:
        remaining = self.lifecycles()
        while block := list(islice(remaining, BLOCK)):
            yield [event for lifecycle in block for event in lifecycle.events]

    def _tell(self, kind: tuple[str, Shape], index: int) -> Lifecycle:
        name, shape = kind
        seed = f"{self.seed}/{index}"
        return compose(name, shape=shape, seed=seed, now=self.now, user_id=self.user_id)


def mix(
    blocks: Iterable[Sequence[Event]], *, shuffle: int | None, duplicates: int
) -> Iterator[Event]:
    """Yield the events of each block, each so many more times, in order or shuffled by a seed."""
    chance = Random(shuffle)  # noqa: S311 - the order must be repeatable
    for block in blocks:
        repeated = [event for event in block for _ in range(1 + duplicates)]
        if shuffle is not None:
            chance.shuffle(repeated)
        yield from repeated
