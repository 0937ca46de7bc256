"""The order of ten or more facts of one second, with the most links, in about linear time.

A fact with ``previous_attributes`` leads from one state to another. So the facts of a second form a
graph, and a chain of links is a trail in it: a walk that takes no fact twice. The fewest trails
that take all facts have the most links, and Hierholzer's algorithm finds them without comparing
orders: https://en.wikipedia.org/wiki/Eulerian_path. A fact is known by its place among those of the
second, the lightest first, and a state by a number, since comparing states is slow.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence

from billing.facts import Fact, Fields, Rank

Trail = list[int]
Change = tuple[str, int, int]
"""An event type, a state before and a state after. Twins are facts of one change."""


def order_by_trails(start: Fields | None, facts: Sequence[Fact]) -> tuple[list[Fact], bool]:
    """Return the facts of one second in their order, and True if the last one is a guess.

    ``start`` is the state before the second. At least one fact says what was before.
    """
    first = facts[0]
    if start is None and first.rank is Rank.CREATED and first.before is None:
        ordered, guessed = order_by_trails(first.fields, facts[1:])
        return [first, *ordered], guessed
    places, guessed = _Second(start, facts).order()
    return [facts[place] for place in places], guessed


class _Second:
    """The facts of one second as a graph of states."""

    def __init__(self, start: Fields | None, facts: Sequence[Fact]) -> None:
        numbers: dict[Fields | None, int] = {None: 0}
        states = [start, *(fact.before for fact in facts), *(fact.fields for fact in facts)]
        numbered = [numbers.setdefault(state, len(numbers)) for state in states]
        self._facts = facts
        self._start = numbered[0]
        self._before = numbered[1 : len(facts) + 1]
        self._after = numbered[len(facts) + 1 :]
        self._linking = [place for place, state in enumerate(self._before) if state]
        # By state, the facts that lead from it, and those that show it and say nothing of before.
        # The lightest is at the end of its list, and what has its place is taken out.
        self._leaving = defaultdict[int, Trail](list)
        self._unlinked = defaultdict[int, Trail](list)
        for place in reversed(range(len(facts))):
            if state := self._before[place]:
                self._leaving[state].append(place)
            else:
                self._unlinked[self._after[place]].append(place)
        self._begun = bool(self._leaving[self._start])

    def order(self) -> tuple[Trail, bool]:
        """Return the places in their order, and True if the last one is a guess."""
        trails, twins = self._without_twins(self._trails())
        first, others = trails[: self._begun], trails[self._begun :]
        for trail in others:  # what shows the state that they lead from makes one link more
            if opening := self._unlinked[self._before[trail[0]]]:
                trail.insert(0, opening.pop())
        last = max(map(_end, others or first))
        free = [place for places in self._unlinked.values() for place in places]
        fitting, loose = self._fitting(free, last)
        order = self._joined([*first, *sorted(others + loose, key=_end)], twins, fitting)
        is_sure = self._begun and not others
        return order, self._differ([*free, last] if is_sure else order, order[-1])

    def _trails(self) -> list[Trail]:
        """Return the fewest trails that take all facts with a state before.

        The first one begins with the state before the second, if a fact follows that.
        """
        walks = [self._walk(state) for state in (self._start, *self._beginnings())]
        trails = [self._with_loops(self._before[walk[0]], walk) for walk in walks if walk]
        # What no trail took by now are rings that touch none.
        states = [*reversed(self._unlinked), *(self._before[place] for place in self._linking)]
        rings = [self._with_loops(state, []) for state in states]
        return [*trails, *filter(None, rings)]

    def _beginnings(self) -> Iterator[int]:
        """Yield each state as often as more facts lead from it than to it.

        A state to which none leads comes first, then one from which a lighter fact leads.
        """
        leading_to = Counter([self._start, *(self._after[place] for place in self._linking)])
        surplus = Counter(self._before[place] for place in self._linking)
        surplus.subtract(leading_to)
        for place in sorted(self._linking, key=lambda n: leading_to[self._before[n]] > 0):
            state = self._before[place]
            if surplus[state] > 0:
                surplus[state] -= 1
                yield state

    def _walk(self, state: int) -> Trail:
        """Take the lightest fact that follows the state so far until none does."""
        walk = Trail()
        while self._leaving[state]:
            walk.append(self._leaving[state].pop())
            state = self._after[walk[-1]]
        return walk

    def _with_loops(self, state: int, walk: Trail) -> Trail:
        """Return a walk from a state with the loops that lead from one of its states to the same.

        Once every beginning has its walk, as many of the other facts lead to a state as from it.
        So a loop ends where it began.
        """
        done = Trail()
        while True:
            here = self._after[walk[-1]] if walk else state
            if self._leaving[here]:
                walk.append(self._leaving[here].pop())
            elif walk:
                done.append(walk.pop())
            else:
                return done[::-1]

    def _change(self, place: int) -> Change:
        return (self._facts[place].event_type, self._before[place], self._after[place])

    def _without_twins(
        self, trails: Iterable[Trail]
    ) -> tuple[list[Trail], defaultdict[Change, Trail]]:
        """Return the trails but those of twins alone, and the facts of these by their change."""
        kept, known, twins = list[Trail](), set[Change](), defaultdict[Change, Trail](list)
        for trail in trails:
            changes = [self._change(place) for place in trail]
            if known.issuperset(changes):
                for change, place in zip(changes, trail, strict=True):
                    twins[change].append(place)
            else:
                kept.append(trail)
                known.update(changes)
        return kept, twins

    def _fitting(
        self, free: Iterable[int], last: int
    ) -> tuple[defaultdict[int, Trail], list[Trail]]:
        """Return, by their state, the facts that fit into the trails; and the others.

        A fact without a state before fits if a trail comes through its state. A heavier one than
        the end of the trails comes after them.
        """
        states = {*self._before, *(self._after[place] for place in self._linking)}
        fitting, loose = defaultdict[int, Trail](list), list[Trail]()
        for place in sorted(free):
            if place < last and self._after[place] in states:
                fitting[self._after[place]].append(place)
            else:
                loose.append([place])
        return fitting, loose

    def _joined(
        self,
        trails: Iterable[Trail],
        twins: defaultdict[Change, Trail],
        fitting: defaultdict[int, Trail],
    ) -> Trail:
        """Return one trail after the other, with what goes beside a fact or follows a state."""
        joined = Trail()
        for trail in trails:
            joined += fitting.pop(self._before[trail[0]], [])
            for place in trail:
                joined += [place, *twins.pop(self._change(place), [])]
                joined += fitting.pop(self._after[place], [])
        return joined

    def _differ(self, possible: Iterable[int], last: int) -> bool:
        """Return True if the facts that could equally be the last one differ."""
        rank = self._facts[last].rank
        ends = {self._after[place] for place in possible if self._facts[place].rank == rank}
        return len(ends | {self._after[last]}) > 1


def _end(trail: Trail) -> int:
    return trail[-1]
