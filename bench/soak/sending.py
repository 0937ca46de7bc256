"""Send whole lifecycles, shuffled and repeated, until the time is up, and remember each answer."""

import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from math import ceil
from threading import Lock, Thread
from typing import Final

from ops.samples.api_shapes import Shape
from ops.samples.lifecycles.registry import SCENARIOS, Lifecycle
from ops.samples.scenario import Event
from ops.send.delivery import BUSY, DUPLICATE, UNREACHABLE, DeliveryClient
from ops.send.endpoint import Endpoint
from ops.send.traffic import TrafficPlan

AGAIN: Final = 0.25
"""The share of events that are delivered a second time, some while after the first."""

APART: Final = 100
"""Deliveries between an event and its repetition: enough to reach another process."""

SENDERS: Final = 8
WAVE_EVENTS: Final = 1000
"""Events of the lifecycles that are shuffled together. A run ends after a whole wave."""

_LONGEST_WAIT_SECONDS: Final = 1.0


@dataclass(slots=True)
class Answers:
    """The answers to all deliveries; ``taken_at`` has the first 2xx of each event."""

    deliveries: int = 0
    duplicates: int = 0
    refused: int = 0
    unanswered: int = 0
    taken_at: dict[str, float] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)


class Sending:
    """Senders that share one stream of deliveries at a steady rate."""

    def __init__(self, endpoint: Endpoint, secret: str, rate: float) -> None:
        self._endpoint = endpoint
        self._secret = secret
        self._pause = 1 / rate
        self._lock = Lock()
        self._next_at = time.monotonic()
        self._deliveries: Iterator[Event] = iter(())
        self._threads: list[Thread] = []
        self.answers = Answers()

    def start(self, deliveries: Iterator[Event]) -> None:
        """Start to send this stream."""
        self._deliveries = deliveries
        self._threads = [Thread(target=self._send_all, daemon=True) for _ in range(SENDERS)]
        for thread in self._threads:
            thread.start()

    @property
    def going_on(self) -> bool:
        """True while events of the stream are not yet accepted."""
        return any(thread.is_alive() for thread in self._threads)

    def deliver(self, client: DeliveryClient, event: Event) -> None:
        """Send one event until it is accepted, as Stripe does, or declined for good."""
        while not (answer := client.post(event.body)).taken:
            if answer.status not in (BUSY, UNREACHABLE):
                with self._lock:
                    said = f"{event.id} got {answer.status}: {answer.said}"
                    self.answers.problems.append(said)
                return
            with self._lock:
                self.answers.refused += answer.status == BUSY
                self.answers.unanswered += answer.status == UNREACHABLE
            time.sleep(min(answer.retry_after or 0.2, _LONGEST_WAIT_SECONDS))
        with self._lock:
            self.answers.deliveries += 1
            self.answers.duplicates += answer.status == DUPLICATE
            self.answers.taken_at.setdefault(event.id, time.time())

    def client(self) -> DeliveryClient:
        """Return a connection of its own to the endpoint."""
        return DeliveryClient(self._endpoint, self._secret)

    def _send_all(self) -> None:
        client = self.client()
        while (event := self._next()) is not None:
            self.deliver(client, event)
        client.close()

    def _next(self) -> Event | None:
        with self._lock:
            event = next(self._deliveries, None)
            now = time.monotonic()
            self._next_at = max(self._next_at + self._pause, now - 1)
            wait = self._next_at - now
        if wait > 0:
            time.sleep(wait)
        return event


class Waves:
    """Lifecycles of every kind in waves of ``WAVE_EVENTS``, until ``time_is_up``."""

    def __init__(self, seed: int, time_is_up: Callable[[], bool]) -> None:
        self._seed = seed
        self._time_is_up = time_is_up
        self._chance = random.Random(seed)  # noqa: S311 - a seeded order
        self._sent: list[TrafficPlan] = []

    def deliveries(self) -> Iterator[Event]:
        """Yield every event, some of them twice; a wave that has begun is yielded whole."""
        while not self._time_is_up():
            wave = _wave(self._seed, len(self._sent))
            self._sent.append(wave)
            yield from with_repetitions(wave.events(), self._chance)

    def lifecycles(self) -> Iterator[Lifecycle]:
        """Yield every lifecycle that was sent."""
        for wave in self._sent:
            yield from wave.lifecycles()


def with_repetitions(events: Iterator[Event], chance: random.Random) -> Iterator[Event]:
    """Yield each event, and some of them again a few hundred deliveries later."""
    waiting: list[Event] = []
    for event in events:
        yield event
        if chance.random() < AGAIN:
            waiting.append(event)
        if len(waiting) > APART:
            yield waiting.pop(chance.randrange(len(waiting)))
    yield from waiting


def _wave(seed: int, number: int) -> TrafficPlan:
    plan = TrafficPlan(
        scenarios=tuple(SCENARIOS),
        shapes=(Shape.OLD, Shape.NEW),
        seed=f"soak/{seed}/{number}",
        now=int(time.time()),
        count=1,
        shuffle=seed + number,
    )
    lifecycle = plan.once_each().deliveries / len(plan.kinds)
    return replace(plan, count=ceil(WAVE_EVENTS / lifecycle))
