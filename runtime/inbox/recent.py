"""Remember in Redis which events were settled last, to notice data that went back in time.

The database is asked for the settled events by name: a number alone would not show what is missing,
since the sequence of a promoted standby jumps ahead. Redis itself is recognized by its inbox epoch
and by the number of its newest accept (``lost_accepts.lua``).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from os import urandom
from typing import Any, Final

import redis

from runtime.inbox import encoding
from runtime.inbox.entries import LostAccepts
from runtime.inbox.replicas import ReplicaWait, TooFewReplicas
from runtime.inbox.scripts import Scripts

NEWEST: Final = 200
"""Settled events whose rows are asked for each time: those that a lagging standby lacks first."""

MAX_BYTES: Final = 64 * 1024 * 1024
"""Memory for the bodies of settled events."""

SHARE_OF_MEMORY: Final = 8
"""They take at most this share of ``maxmemory``: an eighth."""

SHORT_AT_PERCENT: Final = 60
"""From this use of ``maxmemory`` on no body is kept: waiting events and done markers come first."""

_AT_ONCE: Final = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class RecentSettlement:
    """An event that left the inbox as settled, with the number of its row."""

    event_id: str
    settlement: int
    left_at: datetime
    entry: bytes
    """As it is stored."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Survey:
    """The memory of Redis at one moment, on its own clock."""

    at: datetime
    inbox_epoch: str
    newest_accept: int
    database_epoch: str
    """The copy of the database's epoch; empty if there is none yet."""
    lost_accepts: tuple[LostAccepts, ...]
    newest: tuple[RecentSettlement, ...]
    """At most ``NEWEST``, oldest first."""


class RecentEvents:
    """The memory of one inbox, as the supervisor that leads and ``doctor`` use it."""

    def __init__(self, client: redis.Redis, *, prefix: str = "paidup:", replicas: int = 0) -> None:
        """Take as many ``replicas`` as an accept waits for."""
        self._client = client
        self._scripts = Scripts(client, prefix)
        self._replica_wait = ReplicaWait(replicas) if replicas else None

    def survey(self) -> Survey:
        """Return what Redis remembers; give its data set an epoch if it has none."""
        now, epoch, accepted, database_epoch, losses, newest = self._scripts.run(
            "survey", _random(), NEWEST
        )
        return Survey(
            at=encoding.read_time(now),
            inbox_epoch=epoch.decode(),
            newest_accept=accepted,
            database_epoch=database_epoch.decode(),
            lost_accepts=tuple(_read_losses(losses)),
            newest=tuple(map(_read_recent, newest)),
        )

    def is_on_replicas(self) -> bool:
        """Return True if enough replicas have all that Redis holds now.

        An accept that they lack was not acknowledged, so it is no loss if they never get it.
        """
        if self._replica_wait is None:
            return True
        try:
            self._scripts.run_on_replicas(self._replica_wait, "replica_probe")
        except TooFewReplicas:
            return False
        return True

    def settled(self) -> list[RecentSettlement]:
        """Return all remembered settlements, oldest first."""
        entries: Any = self._client.lrange(f"{self._scripts.prefix}settled", 0, -1)
        return list(map(_read_recent, entries))

    def compare(self, inbox_epoch: str, highest: int, *, counted: int) -> LostAccepts:
        """Note what Redis lost: it counted less than ``highest``, or has another inbox epoch.

        ``highest`` is the number of an accept that another place remembers.
        """
        record = self._scripts.run("compare", inbox_epoch, highest, counted, _random())
        return encoding.read_lost_accepts(inbox_epoch, record)

    def lost_accepts(self) -> list[LostAccepts]:
        """Return all known losses of accepts, closed ones too."""
        records: Any = self._client.hgetall(f"{self._scripts.prefix}lost:accepts")
        return [
            encoding.read_lost_accepts(epoch.decode(), record) for epoch, record in records.items()
        ]

    def close_losses(self) -> int:
        """Close the reports of lost accepts, and return how many were open."""
        return int(self._scripts.run("close_losses"))

    def confirm(self, survey: Survey, database_epoch: str) -> None:
        """Note that the database had the newest settlements, copy its epoch, and drop old ones."""
        at, room = round(survey.at.timestamp() * 1000), self._room_for_bodies()
        while self._scripts.run("confirm", database_epoch, at, room, _AT_ONCE) >= _AT_ONCE:
            pass

    def make_room(self) -> None:
        """Give up bodies that take too much memory, also while the database is away."""
        room = self._room_for_bodies()
        while self._scripts.run("make_room", room, _AT_ONCE) >= _AT_ONCE:
            pass

    def void_done_markers(self, database_epoch: str) -> None:
        """Make every done marker void that does not carry this epoch of the database."""
        self._scripts.run("went_back", database_epoch, "")

    def forget(
        self,
        database_epoch: str,
        checked: Sequence[RecentSettlement],
        present: Sequence[RecentSettlement],
    ) -> None:
        """Void the done markers, and forget those ``checked`` settlements that are not present."""
        last = checked[-1].entry if checked else b""
        newest = [each.entry for each in present[-_AT_ONCE:]]
        self._scripts.run("went_back", database_epoch, last, *newest)

    def requeue_recent(self, since: datetime) -> tuple[int, tuple[str, ...]]:
        """Put all events that left the inbox since then, and whose bodies are kept, into it again.

        Return how many, and the wake-ups for which the caller must publish a message.
        """
        at, entered, wakes = round(since.timestamp() * 1000), 0, []
        while True:
            seen, now, wake = self._scripts.run("requeue_recent", at, _AT_ONCE, _random())
            entered += now
            wakes += [wake.decode()] if wake else []
            if seen < _AT_ONCE:
                return entered, tuple(wakes)

    def _room_for_bodies(self) -> int:
        memory: Any = self._client.info("memory")
        used, most = int(memory["used_memory"]), int(memory["maxmemory"])
        if most == 0:
            return MAX_BYTES
        if used * 100 > most * SHORT_AT_PERCENT:
            return 0
        return min(MAX_BYTES, most // SHARE_OF_MEMORY)


def read_loss(client: redis.Redis, prefix: str, inbox_epoch: str) -> LostAccepts | None:
    """Return what is known of the accepts that were lost when this epoch ended."""
    record: Any = client.hget(f"{prefix}lost:accepts", inbox_epoch)
    return encoding.read_lost_accepts(inbox_epoch, record) if record else None


def _read_losses(answer: Sequence[bytes]) -> Iterator[LostAccepts]:
    for epoch, record in zip(answer[::2], answer[1::2], strict=True):
        yield encoding.read_lost_accepts(epoch.decode(), record)


def _read_recent(entry: bytes) -> RecentSettlement:
    left, number, event_id = entry.decode().split(" ", 2)
    return RecentSettlement(
        event_id=event_id,
        settlement=int(number),
        left_at=encoding.read_time(float(left)),
        entry=entry,
    )


def _random() -> str:
    return urandom(8).hex()
