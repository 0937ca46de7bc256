"""What workers ask of the inbox, the ledger and the broker; tests stand in for them by these."""

from collections.abc import Callable, Sequence
from typing import Protocol

from runtime.failures.dead_letters import Burial
from runtime.inbox.entries import Claim, Closed, Deferred, Finished, Parked
from runtime.inbox.fetch_lane import Deferral
from runtime.ledger.deliveries import Delivery, Settlement

Bury = Callable[[Sequence[Burial]], None]
"""Write dead letters, all or none."""


class Recorder(Protocol):
    """The ledger."""

    def record(self, deliveries: Sequence[Delivery]) -> list[Settlement]:
        """Settle all in one transaction, or none and raise."""
        ...

    def recalled(self, deliveries: Sequence[Delivery]) -> list[Delivery]:
        """The same, replays with what was fetched for them before."""
        ...


class Lane(Protocol):
    """The lane of events that Stripe's API has to be asked about, as far as others fill it."""

    def defer(self, token: str, deferred: Sequence[Deferred]) -> Deferral:
        """Move events there."""
        ...

    def leave(self, token: str, *, hand_on: bool) -> str | None:
        """End a registration."""
        ...


class Claims(Protocol):
    """Where a drainer's events come from, and who else is told of them."""

    def claim(self, token: str, *, wake: str | None) -> Claim:
        """Take what is due."""
        ...

    def heartbeat(self, token: str) -> bool:
        """Keep it."""
        ...

    def unregister(self, token: str) -> None:
        """End a registration."""
        ...

    def leave(self, token: str, *, hand_on: bool) -> str | None:
        """End this drainer's registration; if it hands on, learn whom to wake."""
        ...

    def open_breaker(self, reason: str, seconds: float) -> None:
        """Stop claims and wake-ups."""
        ...


class Inbox(Protocol):
    """The inbox, as far as verdicts on claimed events are carried out in it."""

    def finish(self, token: str, finished: Sequence[Finished], *, settlement: int | None) -> Closed:
        """Take settled events out."""
        ...

    def park(self, token: str, parked: Sequence[Parked]) -> int:
        """Make events due later."""
        ...

    def discard(self, token: str, keys: Sequence[str]) -> Closed:
        """Take buried events out."""
        ...

    def give_back(self, token: str) -> int:
        """Make what is still held due again."""
        ...

    def drop_done_markers(self) -> int:
        """Forget cached results."""
        ...
