"""The inbox as ingest uses it."""

from collections.abc import Mapping
from typing import Any, Protocol

from billing.envelope import Envelope
from runtime.inbox.entries import LostAccepts


class Acceptance(Protocol):
    """The inbox's answer for an event that it stores now, or stored before."""

    @property
    def status(self) -> str:
        """``accepted``, ``duplicate`` or ``conflict``."""
        ...

    @property
    def wake(self) -> str | None:
        """The registration for which this process must publish a wake-up, if any."""
        ...

    @property
    def result(self) -> Mapping[str, Any] | None:
        """The result of a duplicate's first delivery, once it is settled."""
        ...

    @property
    def lost(self) -> LostAccepts | None:
        """Accepts that this call showed to be lost, if that was not known before."""
        ...


class AcceptingInbox(Protocol):
    def accept(self, envelope: Envelope) -> Acceptance: ...

    def unregister(self, token: str) -> None: ...
