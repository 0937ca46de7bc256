"""Sends many events over many connections, at a rate, and keeps the account."""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from threading import Event as Flag
from threading import Lock

from ops.samples.scenario import Event
from ops.send.delivery import ACCEPTED, DUPLICATE, Answer, Courier
from ops.send.endpoint import Endpoint

SHOWN = 5
"""How many refusals are kept: enough to see why."""


@dataclass(slots=True, kw_only=True)
class Tally:
    """What a run came to, while it runs and when it is over."""

    answers: Counter[int] = field(default_factory=Counter)
    retries: int = 0
    latencies: list[float] = field(default_factory=list)
    refused: list[tuple[str, Answer]] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def sent(self) -> int:
        """How many deliveries have an answer, or will never have one."""
        return self.answers.total()

    @property
    def all_taken(self) -> bool:
        """True if the endpoint has everything that was sent."""
        return self.answers.keys() <= {ACCEPTED, DUPLICATE}

    def count(self, event: Event, answer: Answer) -> None:
        """Take one delivery into the account; the first refusals are kept to be shown."""
        self.answers[answer.status] += 1
        self.retries += answer.attempts - 1
        self.latencies.append(answer.seconds)
        if not answer.taken and len(self.refused) < SHOWN:
            self.refused.append((event.id, answer))

    def percentile(self, share: float) -> float:
        """The latency, in milliseconds, that this share of the requests did not exceed."""
        ordered = sorted(self.latencies)
        if not ordered:
            return 0.0
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))] * 1000


def send_all(
    events: Iterable[Event],
    endpoint: Endpoint,
    secret: str,
    *,
    concurrency: int = 1,
    rate: float | None = None,
    on_answer: Callable[[Tally], None] = lambda _: None,
) -> Tally:
    """Send events in their order, over so many connections and at most so many a second."""
    begun = time.monotonic()
    run = _Run(due=_paced(events, rate, begun), on_answer=on_answer)
    with ThreadPoolExecutor(max_workers=concurrency) as threads:
        couriers = (Courier(endpoint, secret) for _ in range(concurrency))
        running = [threads.submit(run.carry, courier) for courier in couriers]
        try:
            for thread in running:
                thread.result()
        finally:
            run.stop.set()
    run.tally.seconds = time.monotonic() - begun
    return run.tally


@dataclass(slots=True, kw_only=True)
class _Run:
    """What the threads of one run share."""

    due: Iterator[tuple[float, Event]]
    on_answer: Callable[[Tally], None]
    tally: Tally = field(default_factory=Tally)
    lock: Lock = field(default_factory=Lock)
    stop: Flag = field(default_factory=Flag)

    def carry(self, courier: Courier) -> None:
        """Deliver one event after the other until there are no more."""
        while (taken := self._take()) is not None:
            at, event = taken
            self.stop.wait(max(0.0, at - time.monotonic()))
            answer = courier.deliver(event.body, stop=self.stop)
            with self.lock:
                self.tally.count(event, answer)
                self.on_answer(self.tally)
        courier.close()

    def _take(self) -> tuple[float, Event] | None:
        with self.lock:
            return None if self.stop.is_set() else next(self.due, None)


def _paced(
    events: Iterable[Event], rate: float | None, begun: float
) -> Iterator[tuple[float, Event]]:
    for number, event in enumerate(events):
        yield (begun + number / rate if rate else begun), event
