"""The parts of the inbox that a replay uses."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from billing.envelope import Envelope
from runtime.inbox.entries import Accepted, Backlog, PeekedEvent


class RequeueInbox(Protocol):
    """The calls that requeuing makes to the inbox."""

    def requeue(
        self, envelope: Envelope, *, key: str, origin: str, extra: Mapping[str, Any]
    ) -> Accepted: ...

    def peek(self, keys: Sequence[str]) -> list[PeekedEvent]: ...

    def unregister(self, token: str) -> None: ...


class ReplayInbox(RequeueInbox, Protocol):
    """The calls that a replay makes to the inbox."""

    def pending(self, keys: Sequence[str]) -> list[str]: ...

    def backlog(self) -> Backlog: ...
