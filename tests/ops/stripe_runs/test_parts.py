"""No object is left out or read twice, in whatever order pages come and whenever a process dies."""

import random
from collections import Counter
from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from ops.stripe_runs.lists import EVENTS, Span, page_request
from ops.stripe_runs.pages import ListPage, read_page
from ops.stripe_runs.parts import Key, OpenParts
from ops.stripe_runs.ranges import ListPart
from tests.ops.stripe_runs.walk_builders import NOW, OWN, ListedEvents, ids_of

READERS = 4


@dataclass
class WalkSimulation:
    """Readers and a taker, one step at a time; ``chance`` decides whose turn it is."""

    listed: ListedEvents
    chance: random.Random
    oldest: int | None
    stored: dict[Key, ListPart] = field(default_factory=dict)
    found: Counter[str] = field(default_factory=Counter)
    requests: int = 0

    def __post_init__(self) -> None:
        history, edge = Span(oldest=self.oldest, newest=NOW), Span(oldest=NOW + 1)
        self.first = (
            ListPart(list="events", position=0, span=history),
            ListPart(list="events", position=1, span=edge, waits=True),
        )
        self.begin()

    def begin(self) -> None:
        """Start a process, with nothing but what was stored."""
        parts = [*self.stored.values()]
        self.parts = OpenParts(parts or self.first, self.listed.now - 2, stored=parts)
        self.owned: list[Key] = []
        self.under_way: list[tuple[Key, ListPage]] = []
        self.queue: list[tuple[ListPage, ListPart]] = []

    def run(self, deaths: int) -> None:
        """Read everything; a process dies that many times, at any step."""
        while self.step():
            if deaths and self.chance.random() < 0.05:
                deaths -= 1
                self.begin()

    def step(self) -> bool:
        """Let one of those who can do something do it; False if all is done."""
        steps = []
        asking = {key for key, _ in self.under_way}
        if len(self.owned) < READERS:
            steps.append(self.own)
        if waiting := [key for key in self.owned if key not in asking]:
            steps.append(lambda: self.ask(self.chance.choice(waiting)))
        if self.under_way and len(self.queue) < READERS:
            steps.append(self.answer)
        if self.queue:
            steps.append(self.take)
        before = len(self.owned), len(self.queue)
        self.chance.choice(steps)()
        return bool(self.owned or self.queue or (len(self.owned), len(self.queue)) != before)

    def own(self) -> None:
        if (key := self.parts._free_part()) is not None:
            self.parts._owned.add(key)
            self.owned.append(key)

    def ask(self, key: Key) -> None:
        """Send a request, whose answer shows the list as it is now."""
        part = self.parts.part(key)
        self.requests += 1
        response = self.listed.ask(page_request(EVENTS, part.span, after=part.cursor), OWN)
        self.under_way.append((key, read_page(EVENTS, key[1], response)))

    def answer(self) -> None:
        key, page = self.under_way.pop(self.chance.randrange(len(self.under_way)))
        part, page = self.parts.read(key, page)
        self.queue.append((page, part))
        if part.done:
            self.owned.remove(key)

    def take(self) -> None:
        page, part = self.queue.pop(0)
        self.parts.take(part)
        if self.chance.random() < 0.1:  # the transaction was rolled back and tried again
            self.parts.to_store()
        for each in self.parts.to_store():
            self.stored[each.list, each.position] = each
        self.parts.stored()
        self.found.update(ids_of(page))


@given(
    seconds=st.lists(st.integers(0, 60), max_size=30),
    crowd=st.integers(0, 900),
    within=st.sampled_from((100, 2_000, 40 * 86_400)),
    deaths=st.integers(0, 3),
    seed=st.integers(0, 2**32),
)
def test_each_object_of_a_growing_list_is_stored_once(
    seconds: list[int], crowd: int, within: int, deaths: int, seed: int
) -> None:
    """Let objects come in crowds of one second and with long pauses, some while others are read.

    Those that come later than the walk began are in the live edge, which is read at the end.
    """
    chance = random.Random(seed)  # noqa: S311 - no secret
    ages = [age * within // 60 for age in seconds for _ in range(chance.choice((1, 3, 150)))]
    ages += [chance.randrange(within) for _ in range(crowd)]
    objects = [(NOW - age, f"evt_{number}") for number, age in enumerate(ages)]
    listed = ListedEvents(objects, now=NOW + 2)

    def grow(listed: ListedEvents) -> None:
        listed.now += 1
        if chance.random() < 0.3:
            number = len(listed.objects)
            listed.objects.append((listed.now, f"evt_{number}"))

    listed.grows = grow
    simulation = WalkSimulation(listed, chance, NOW - 3 * within if within < 86_400 else None)

    simulation.run(deaths)

    expected = {name for created, name in listed.objects if created <= listed.read_until()}
    assert simulation.found == Counter(expected)
