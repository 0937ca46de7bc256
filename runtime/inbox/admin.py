"""Operations on the inbox for operators and supervisors: inspect, stop dispatch, remove, tidy."""

from collections.abc import Sequence
from typing import Any, Final

import redis

from runtime.inbox import encoding
from runtime.inbox.entries import Backlog, Breaker, PeekedEvent
from runtime.inbox.scripts import Scripts
from runtime.inbox.service_times import CLASSES

_SCANNED_AT_ONCE: Final = 1000


class InboxAdmin:
    """The part of the inbox that moves no event from one owner to another."""

    def __init__(self, client: redis.Redis, *, prefix: str = "paidup:") -> None:
        """Use a client that answers in bytes; ``make_redis`` makes one."""
        self._client = client
        self._scripts = Scripts(client, prefix)

    @property
    def client(self) -> redis.Redis:
        """The Redis client, to share its connections."""
        return self._client

    def open_breaker(self, reason: str, seconds: float) -> None:
        """Stop claims and wake-ups for ``seconds``, unless it is renewed or closed earlier."""
        self._scripts.run("breaker", encoding.error_text(reason), max(round(seconds * 1000), 1))

    def close_breaker(self) -> None:
        """Allow claims again."""
        self._scripts.run("breaker", "", 0)

    def breaker(self) -> Breaker | None:
        """Return the open breaker, or None if events are dispatched."""
        return self.backlog().breaker

    def breaker_open(self) -> bool:
        """Return True while nothing is dispatched. Costs one EXISTS."""
        return bool(self._client.exists(f"{self._scripts.prefix}breaker"))

    def lead(self, supervisor: str, seconds: float) -> bool:
        """Take, keep or release (0 s) the lead among supervisors, also on a full server."""
        return bool(self._scripts.run("lead", supervisor, round(seconds * 1000)))

    def backlog(self) -> Backlog:
        """Return the numbers of the inbox now. Cheap, however many events it holds."""
        return encoding.read_backlog(self._scripts.run("backlog", *CLASSES))

    def peek(self, keys: Sequence[str]) -> list[PeekedEvent]:
        """Return the state of these events, and change nothing."""
        return self._peek(keys, remove=False)

    def remove(self, keys: Sequence[str]) -> list[PeekedEvent]:
        """Remove unsettled events that are not claimed, and return the only copy of them."""
        return self._peek(keys, remove=True)

    def _peek(self, keys: Sequence[str], *, remove: bool) -> list[PeekedEvent]:
        answer = self._scripts.run("peek", int(remove), *keys)
        width = len(answer) // len(keys) if keys else 0
        rows = [answer[at * width : (at + 1) * width] for at in range(len(keys))]
        return [encoding.read_peeked_event(key, row) for key, row in zip(keys, rows, strict=True)]

    def conflicts(self) -> list[str]:
        """Return the keys of all conflicts; ``peek`` reads them."""
        fields: Any = self._client.hkeys(f"{self._scripts.prefix}conflicts")
        return sorted(field.decode() for field in fields)

    def forget_conflicts(self, keys: Sequence[str]) -> int:
        """Drop conflicts that are dead letters now, and return how many there were."""
        return int(self._scripts.run("forget", *keys))

    def pending(self, keys: Sequence[str]) -> list[str]:
        """Return those of these events that are in the inbox. Cheap for many."""
        if not keys:
            return []
        found: Any = self._client.zmscore(f"{self._scripts.prefix}index", list(keys))
        return [key for key, score in zip(keys, found, strict=True) if score is not None]

    def oldest(self, most: int) -> list[PeekedEvent]:
        """Return the unsettled events that were accepted first, and change nothing."""
        keys: Any = self._client.zrange(f"{self._scripts.prefix}index", 0, most - 1)
        return self.peek([key.decode() for key in keys])

    def failed_with(self, beginning: str) -> list[str]:
        """Return the keys of the events whose last error begins with ``beginning``."""
        histories: Any = self._client.hscan_iter(
            f"{self._scripts.prefix}history", count=_SCANNED_AT_ONCE
        )
        return sorted(
            key.decode()
            for key, history in histories
            if encoding.read_last_error(history).startswith(beginning)
        )

    def drop_done_markers(self, most: int | None = None) -> int:
        """Drop all done markers, or at least ``most``, and return how many.

        Nothing is lost: PostgreSQL recognizes duplicates, too.
        """
        dropped, cursor = 0, 0
        while True:
            keys: Any
            cursor, keys = self._client.scan(
                cursor, match=f"{self._scripts.prefix}done:*", count=_SCANNED_AT_ONCE
            )
            dropped += int(self._client.unlink(*keys)) if keys else 0
            if cursor == 0 or (most is not None and dropped >= most):
                return dropped
