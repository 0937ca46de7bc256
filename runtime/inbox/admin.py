"""What people and supervisors do with the inbox: look, stop and start dispatch, take out, tidy."""

from collections.abc import Sequence
from typing import Any, Final

import redis

from runtime.inbox import encoding as codec
from runtime.inbox.entries import Backlog, Breaker, Glimpse
from runtime.inbox.scripts import Scripts

_SCANNED_AT_ONCE: Final = 1000


class Desk:
    """The part of the inbox that moves no event from one owner to another."""

    def __init__(self, client: redis.Redis, *, prefix: str = "paidup:") -> None:
        """The client must answer in bytes; ``make_redis`` gives such."""
        self._client = client
        self._scripts = Scripts(client, prefix)

    @property
    def client(self) -> redis.Redis:
        """The connections it uses, for whoever works beside it."""
        return self._client

    def open_breaker(self, reason: str, seconds: float) -> None:
        """Stop claims and wake-ups; it closes by itself if nobody renews or closes it."""
        self._scripts.run("breaker", codec.error_text(reason), max(round(seconds * 1000), 1))

    def close_breaker(self) -> None:
        """Let events be claimed again."""
        self._scripts.run("breaker", "", 0)

    def breaker(self) -> Breaker | None:
        """Why nothing is dispatched, or None while all is well."""
        return self.backlog().breaker

    def breaker_open(self) -> bool:
        """Whether nothing is dispatched, at the price of one look."""
        return bool(self._client.exists(f"{self._scripts.prefix}breaker"))

    def lead(self, supervisor: str, seconds: float) -> bool:
        """Take or keep the lead among supervisors, or let it go (0 s); a full server lets them."""
        return bool(self._scripts.run("lead", supervisor, round(seconds * 1000)))

    def backlog(self) -> Backlog:
        """The inbox at this moment; cheap whatever its size."""
        return codec.backlog(self._scripts.run("backlog"))

    def peek(self, keys: Sequence[str]) -> list[Glimpse]:
        """What is known of these events, changing nothing."""
        return self._glimpses(keys, remove=False)

    def remove(self, keys: Sequence[str]) -> list[Glimpse]:
        """Take out unsettled events that nobody claimed; the answer is all that is left of them."""
        return self._glimpses(keys, remove=True)

    def _glimpses(self, keys: Sequence[str], *, remove: bool) -> list[Glimpse]:
        answer = self._scripts.run("peek", int(remove), *keys)
        width = len(answer) // len(keys) if keys else 0
        rows = [answer[at * width : (at + 1) * width] for at in range(len(keys))]
        return [codec.glimpse(key, row) for key, row in zip(keys, rows, strict=True)]

    def conflicts(self) -> list[str]:
        """The keys of second bodies under a known id; ``peek`` shows them."""
        fields: Any = self._client.hkeys(f"{self._scripts.prefix}conflicts")
        return sorted(field.decode() for field in fields)

    def forget_conflicts(self, keys: Sequence[str]) -> int:
        """Let go of second bodies that are dead letters now; says how many those were."""
        return int(self._scripts.run("forget", *keys))

    def pending(self, keys: Sequence[str]) -> list[str]:
        """Those of these events that are in the inbox; cheap for many."""
        if not keys:
            return []
        found: Any = self._client.zmscore(f"{self._scripts.prefix}index", list(keys))
        return [key for key, score in zip(keys, found, strict=True) if score is not None]

    def failed_with(self, beginning: str) -> list[str]:
        """The events in the inbox whose last error begins so."""
        histories: Any = self._client.hscan_iter(
            f"{self._scripts.prefix}history", count=_SCANNED_AT_ONCE
        )
        return sorted(
            key.decode()
            for key, history in histories
            if codec.last_error_in(history).startswith(beginning)
        )

    def drop_done_markers(self, most: int | None = None) -> int:
        """Forget cached results, all or at least so many: PostgreSQL settles duplicates anyway."""
        dropped, cursor = 0, 0
        while True:
            keys: Any
            cursor, keys = self._client.scan(
                cursor, match=f"{self._scripts.prefix}done:*", count=_SCANNED_AT_ONCE
            )
            dropped += int(self._client.unlink(*keys)) if keys else 0
            if cursor == 0 or (most is not None and dropped >= most):
                return dropped
