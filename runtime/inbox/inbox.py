"""The inbox: every accepted event from before its 2xx until it is settled in PostgreSQL.

    accept -> queue of its partition -claim-> one owner -finish-> gone, with a done marker
                        ^                        |
                        +-- park, give_back, sweep

An event is always in exactly one place: the queue of its lane and partition, or one claim. A
partition has one owner at a time. Claims are leases on Redis' clock, held by a token; calls with
the token of a claim that has ended change nothing. Redis must be durable (``safety.py``).

Celery carries no events, only the news that some are due. What returns a ``wake`` has registered
a drainer that does not exist yet, and its caller must publish the wake-up, or ``unregister`` it.
"""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from os import urandom
from typing import Any, Final

import redis

from billing.envelope import Envelope
from runtime.inbox import encoding as codec
from runtime.inbox.admin import Desk
from runtime.inbox.entries import (
    VERSION,
    Accepted,
    Claim,
    Closed,
    Finished,
    InboxFull,
    Lane,
    Parked,
    Sweep,
)
from runtime.inbox.scripts import Argument

MAX_EVENTS: Final = 200
MAX_BYTES: Final = 2 * 1024 * 1024
MOST_WAKES: Final = 8

LEASE: Final = timedelta(seconds=10)
MARKER: Final = timedelta(days=3)
REGISTRATION: Final = timedelta(seconds=3)
_ANNOUNCEMENT: Final = timedelta(seconds=10)
UNKNOWN_VERSION: Final = timedelta(seconds=5)
_MOST_CLAIMS_ENDED: Final = 16
_HEALED_AT_ONCE: Final = 200


def new_token() -> str:
    """A name that nobody else has, for an owner or for a wake-up."""
    return urandom(8).hex()


class Inbox(Desk):
    """One process' door to the inbox; safe to share between threads, not across a fork."""

    def __init__(
        self,
        client: redis.Redis,
        *,
        prefix: str = "paidup:",
        limit: int = 0,
        lease: timedelta = LEASE,
    ) -> None:
        """``limit`` bounds the unsettled events (0: unbounded); the client answers in bytes."""
        super().__init__(client, prefix=prefix)
        self._limit = limit
        self._lease = lease
        self._heal_cursor = 0

    def accept(
        self, envelope: Envelope, *, origin: str = "stripe", extra: Mapping[str, Any] | None = None
    ) -> Accepted:
        """Keep a delivery on disk, or find that it is known; then it may be acknowledged.

        Raises:
            InboxFull: it is new, and there is no room for it.
        """
        status, wake, marker = self._scripts.run(
            "accept",
            envelope.event_id,
            envelope.fingerprint,
            envelope.partition,
            codec.header(envelope, origin=origin, extra=extra or {}),
            envelope.body,
            self._limit,
            new_token(),
        )
        if status == b"full":
            raise InboxFull(self._limit)
        return _accepted(status, wake, marker)

    def readmit(
        self,
        envelope: Envelope,
        *,
        key: str | None = None,
        lane: Lane = Lane.REPLAY,
        origin: str = "replay",
        extra: Mapping[str, Any] | None = None,
    ) -> Accepted:
        """Let a settled or buried event in again; one that is pending stays as it is."""
        status, wake, marker = self._scripts.run(
            "readmit",
            key or envelope.event_id,
            lane,
            envelope.partition,
            codec.header(envelope, origin=origin, extra=extra or {}),
            envelope.body,
            new_token(),
        )
        return _accepted(status, wake, marker)

    def claim(
        self,
        token: str,
        *,
        wake: str | None = None,
        max_events: int = MAX_EVENTS,
        max_bytes: int = MAX_BYTES,
        lanes: Sequence[Lane] = (Lane.LIVE, Lane.REPLAY),
    ) -> Claim:
        """Take what is due, oldest first, as the owner that ``token`` names.

        ``wake`` is the wake-up that led here; it has arrived. What the owner held before and did
        not finish, park or discard goes back uncharged. Nothing due ends the registration.
        """
        refused, owed, *rows = self._scripts.run(
            "claim",
            *(token, wake or "", new_token(), max_events, max_bytes),
            *(_ms(self._lease), _ms(REGISTRATION), VERSION, _ms(UNKNOWN_VERSION)),
            *lanes,
        )
        entries = tuple(codec.entries(rows))
        return Claim(
            token=token,
            entries=entries,
            alone=len(entries) == 1,
            wake=_word(owed),
            refused=bool(refused),
        )

    def heartbeat(self, token: str) -> bool:
        """Renew the lease; False once the claim has ended, and its events are another's."""
        return bool(self._scripts.run("heartbeat", token, _ms(self._lease), _ms(REGISTRATION)))

    def finish(self, token: str, finished: Sequence[Finished], *, settlement: int | None) -> Closed:
        """Take settled events out and remember their results; only after COMMIT.

        ``settlement`` is the highest number the database gave an event of these just now, None if
        all of them had been settled before.
        """
        pairs = [(event.key, codec.marker(event)) for event in finished]
        return self._leave(token, pairs, counter="finished", settlement=settlement)

    def discard(self, token: str, keys: Sequence[str]) -> Closed:
        """Take events out that were buried, without a result; only after COMMIT."""
        return self._leave(token, [(key, "") for key in keys], counter="discarded")

    def _leave(
        self,
        token: str,
        pairs: Sequence[tuple[str, str]],
        *,
        counter: str,
        settlement: int | None = None,
    ) -> Closed:
        highest: Argument = "" if settlement is None else settlement
        flat = [word for pair in pairs for word in pair]
        events, rewound = self._scripts.run("finish", token, highest, _ms(MARKER), counter, *flat)
        return Closed(events=events, rewound=bool(rewound))

    def park(self, token: str, parked: Sequence[Parked]) -> int:
        """Make events due again later, and remember why; says how many were this owner's."""
        rows = [
            (
                event.key,
                max(round(event.delay_seconds * 1000), 0),
                int(event.charged),
                codec.error_text(event.error),
                event.lane or "",
            )
            for event in parked
        ]
        parked_now: int = self._scripts.run("park", token, *(word for row in rows for word in row))
        return parked_now

    def give_back(self, token: str) -> int:
        """Make what the claim still holds due as before, uncharged; says how many that were."""
        given: int = self._scripts.run("leave", token, 0, "")[0]
        return given

    def unregister(self, token: str) -> None:
        """End a drainer's registration, or that of a wake-up that could not be published."""
        self._scripts.run("leave", token, 1, "")

    def leave(self, token: str, *, hand_on: bool) -> str | None:
        """End a drainer's registration; if it hands on, the wake-up it owes for what is left."""
        return _word(self._scripts.run("leave", token, 1, new_token() if hand_on else "")[1])

    def sweep(self, *, most_wakes: int = MOST_WAKES) -> Sweep:
        """End the leases that ran out, and say who must be woken; any number may do it at once."""
        tokens = [new_token() for _ in range(most_wakes)]
        reclaimed, crashed, orphans, *wakes = self._scripts.run(
            "sweep", _MOST_CLAIMS_ENDED, *tokens
        )
        return Sweep(
            wakes=tuple(wake.decode() for wake in wakes),
            reclaimed=reclaimed,
            crashed=crashed,
            healed=orphans + self._heal(),
        )

    def bereave(self, token: str) -> Sweep:
        """End the claim of an owner that is known to be dead, as a sweep does when it is over."""
        tokens = [new_token() for _ in range(MOST_WAKES)]
        reclaimed, crashed, *wakes = self._scripts.run("release_orphan", token, *tokens)
        owed = tuple(wake.decode() for wake in wakes)
        return Sweep(wakes=owed, reclaimed=reclaimed, crashed=crashed, healed=0)

    def _heal(self) -> int:
        cursor, healed = self._scripts.run("heal", self._heal_cursor, _HEALED_AT_ONCE)
        self._heal_cursor = int(cursor)
        return int(healed)

    def announce(self, worker_id: str, processes: int) -> None:
        """Say every few seconds that a worker with so many processes lives; 0 says goodbye."""
        self._scripts.run("announce", worker_id, processes, _ms(_ANNOUNCEMENT))


def _accepted(status: bytes, wake: bytes, marker: bytes) -> Accepted:
    return Accepted(
        status=status.decode(),  # type: ignore[arg-type]  # the script knows these three words
        wake=_word(wake),
        result=codec.result_in(marker),
    )


def _word(token: bytes) -> str | None:
    return token.decode() or None


def _ms(span: timedelta) -> int:
    return round(span.total_seconds() * 1000)
