"""The simulated inbox: what is due, who holds a party, and when a worker is woken.

It follows ``claim_common.lua`` and ``wakes.lua``: a party has one owner at a time; claims take the
party whose first event waits longest; while others wait, a party gets a quarter of a claim.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from heapq import heappop, heappush
from itertools import count
from math import ceil
from typing import Final

from bench.simulate.arrivals import Arrival
from runtime.inbox.inbox import MAX_EVENTS
from runtime.time_limits import LONGEST_WAIT_SECONDS, WAKE_MESSAGE_SECONDS

_SHARES: Final = 4
"""The smallest part of a claim that a party gets, in ``claim_common.lua``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatedClaim:
    """The events that one process holds, with the parties whose owner it is."""

    events: Sequence[Arrival]
    parties: frozenset[int]
    wakes: bool
    """True if a further process is woken."""


class SimulatedInbox:
    """Everything that waits. A process that drains, or is woken, is registered until a time."""

    def __init__(self, *, most_events: int, processes: int) -> None:
        self.waiting = 0
        """Events that were accepted and not settled."""
        self.held: set[int] = set()
        self.registered: dict[int, float] = {}
        self._most_events = most_events
        self._processes = processes
        self._queues: dict[int, deque[tuple[float, Arrival]]] = {}
        self._ready: list[tuple[float, int, int]] = []
        self._number = count()

    def accept(self, arrival: Arrival, now: float) -> None:
        """Make an event due."""
        self.waiting += 1
        queue = self._queues.setdefault(arrival.party, deque())
        queue.append((now, arrival))
        if len(queue) == 1 and arrival.party not in self.held:
            self._make_ready(arrival.party)

    def oldest_due(self) -> float | None:
        """Return when the oldest event became due that any process may take."""
        return self._ready[0][0] if self._ready else None

    def claim(self, now: float) -> SimulatedClaim:
        """Take what is due, the oldest first."""
        events: list[Arrival] = []
        parties = set()
        shares = min(len(self._ready), _SHARES)
        while self._ready and len(events) < self._most_events:
            _, _, party = heappop(self._ready)
            queue = self._queues[party]
            most = min(ceil(self._most_events / shares), self._most_events - len(events))
            events += [queue.popleft()[1] for _ in range(min(most, len(queue)))]
            parties.add(party)
        self.held |= parties
        is_full = len(events) >= self._most_events
        wakes = is_full and bool(self._ready) and self._awake(now) < self._processes
        return SimulatedClaim(events=events, parties=frozenset(parties), wakes=wakes)

    def finish(self, claim: SimulatedClaim) -> None:
        """Remove the events of a claim, and let others have its parties."""
        self.waiting -= len(claim.events)
        self.held -= claim.parties
        for party in sorted(claim.parties):
            if self._queues[party]:
                self._make_ready(party)
            else:
                del self._queues[party]

    def wake_is_owed(self, now: float) -> bool:
        """Return True if a process must be woken for what is due."""
        awake = self._awake(now)
        oldest = self.oldest_due()
        if oldest is None or awake >= self._processes:
            return False
        waits_long = now - oldest > LONGEST_WAIT_SECONDS
        return awake == 0 or waits_long or len(self._ready) > awake * MAX_EVENTS

    def register_wake(self, now: float) -> int:
        """Register a wake-up that is sent now, and return its number."""
        number = next(self._number)
        self.registered[number] = now + WAKE_MESSAGE_SECONDS
        return number

    def _awake(self, now: float) -> int:
        return sum(until > now for until in self.registered.values())

    def _make_ready(self, party: int) -> None:
        heappush(self._ready, (self._queues[party][0][0], next(self._number), party))
