"""Interfaces that this package needs from others."""

from collections.abc import Sequence
from typing import Protocol

from runtime.inbox.entries import PeekedEvent


class ConflictInbox(Protocol):
    """The part of the inbox that keeps conflicts."""

    def conflicts(self) -> list[str]: ...

    def peek(self, keys: Sequence[str]) -> list[PeekedEvent]: ...

    def forget_conflicts(self, keys: Sequence[str]) -> int: ...
