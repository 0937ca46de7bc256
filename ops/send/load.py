"""Send many events over many connections at a rate, and count the responses."""

import json
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from threading import Event as Flag
from threading import Lock

from ops.samples.scenario import Event
from ops.send.delivery import ACCEPTED, DUPLICATE, DeliveryClient, EndpointResponse
from ops.send.endpoint import Endpoint

SHOWN = 5
"""The refusals that are kept: enough to see the reason."""


@dataclass(slots=True, kw_only=True)
class SendTotals:
    """The totals of a run, updated while it runs.

    ``accepted_users`` are those of ``users`` whom an accepted event names.
    """

    users: Sequence[str] = ()
    accepted_users: set[str] = field(default_factory=set)
    first_accepted: str | None = None
    answers: Counter[int] = field(default_factory=Counter)
    retries: int = 0
    latencies: list[float] = field(default_factory=list)
    refused: list[tuple[str, EndpointResponse]] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def sent(self) -> int:
        """The number of finished deliveries, with a response or without."""
        return self.answers.total()

    @property
    def refusals(self) -> int:
        """The number of deliveries that the endpoint did not accept."""
        return self.sent - self.answers[ACCEPTED] - self.answers[DUPLICATE]

    @property
    def any_taken(self) -> bool:
        """True if the endpoint accepted at least one event."""
        return not self.answers.keys().isdisjoint({ACCEPTED, DUPLICATE})

    @property
    def all_taken(self) -> bool:
        """True if the endpoint accepted every event."""
        return self.answers.keys() <= {ACCEPTED, DUPLICATE}

    def count(self, event: Event, answer: EndpointResponse) -> None:
        """Count one delivery, and keep the first refusals to show them."""
        self.answers[answer.status] += 1
        self.retries += answer.attempts - 1
        self.latencies.append(answer.seconds)
        if answer.taken:
            self._accept(event)
        elif len(self.refused) < SHOWN:
            self.refused.append((event.id, answer))

    def _accept(self, event: Event) -> None:
        self.first_accepted = self.first_accepted or event.id
        for user in self.users:
            if user not in self.accepted_users and _names(event.body, user):
                self.accepted_users.add(user)

    @property
    def latency_ms(self) -> dict[str, float]:
        """The milliseconds that 50, 95 and 99 of 100 requests did not exceed, by ``p50`` etc."""
        ordered = sorted(self.latencies) or [0.0]
        return {
            f"p{percent}": ordered[percent * len(ordered) // 100] * 1000 for percent in (50, 95, 99)
        }


def _names(body: bytes, user: str) -> bool:
    """Return whether a body has the user as a JSON string, with other than ASCII escaped or not."""
    return any(
        json.dumps(user, ensure_ascii=escaped).encode(errors="surrogatepass") in body
        for escaped in (True, False)
    )


def send_all(
    events: Iterable[Event],
    endpoint: Endpoint,
    secret: str,
    *,
    concurrency: int = 1,
    rate: float | None = None,
    users: Sequence[str] = (),
    on_answer: Callable[[SendTotals], None] = lambda _: None,
) -> SendTotals:
    """Send events in order over ``concurrency`` connections, at most ``rate`` per second.

    The totals say which of ``users`` an accepted event names.
    """
    begun = time.monotonic()
    totals = SendTotals(users=users)
    run = _SendRun(due=_paced(events, rate, begun), on_answer=on_answer, totals=totals)
    with ThreadPoolExecutor(max_workers=concurrency) as threads:
        clients = (DeliveryClient(endpoint, secret) for _ in range(concurrency))
        running = [threads.submit(run.carry, client) for client in clients]
        try:
            for thread in running:
                thread.result()
        finally:
            run.stop.set()
    run.totals.seconds = time.monotonic() - begun
    return run.totals


@dataclass(slots=True, kw_only=True)
class _SendRun:
    """State shared by the threads of one run."""

    due: Iterator[tuple[float, Event]]
    on_answer: Callable[[SendTotals], None]
    totals: SendTotals
    lock: Lock = field(default_factory=Lock)
    stop: Flag = field(default_factory=Flag)

    def carry(self, client: DeliveryClient) -> None:
        """Deliver one event after the other until none is left."""
        while (taken := self._take()) is not None:
            at, event = taken
            self.stop.wait(max(0.0, at - time.monotonic()))
            answer = client.deliver(event.body, pause=self.stop.wait)
            with self.lock:
                self.totals.count(event, answer)
                self.on_answer(self.totals)
        client.close()

    def _take(self) -> tuple[float, Event] | None:
        with self.lock:
            return None if self.stop.is_set() else next(self.due, None)


def _paced(
    events: Iterable[Event], rate: float | None, begun: float
) -> Iterator[tuple[float, Event]]:
    for number, event in enumerate(events):
        yield (begun + number / rate if rate else begun), event
