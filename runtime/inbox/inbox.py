"""Store each accepted event, from before its 2xx until it is settled in PostgreSQL.

    accept -> queue of its partition -claim-> one owner -finish-> gone, with a done marker
                        ^                        |
                        +-- park, release, sweep

An event is always in exactly one place: the queue of its lane and partition, or one claim. A
partition has one owner at a time. Claims are leases on Redis' clock, held by a token. A call with
the token of a claim that has ended changes nothing. Redis must be durable (``durability.py``).

Celery carries no events, only wake-ups. A method that returns a ``wake`` has registered a drainer
that does not run yet. Its caller must publish the wake-up, or ``unregister`` the drainer.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from itertools import chain
from os import urandom
from typing import Any, Final

import redis
from redis.exceptions import OutOfMemoryError

from billing.envelope import Envelope
from runtime.inbox import encoding
from runtime.inbox.admin import InboxAdmin
from runtime.inbox.entries import (
    VERSION,
    Accepted,
    Claim,
    Closed,
    Finished,
    InboxFull,
    Lane,
    LostAccepts,
    Parked,
    Sweep,
)
from runtime.inbox.recent import read_loss
from runtime.inbox.replicas import Argument, ReplicaWait
from runtime.inbox.service_times import BatchTime
from runtime.inbox.shared_accept import SharedAccept
from runtime.time_limits import ANNOUNCEMENT, APART, LEASE, MARKER, REGISTRATION, UNKNOWN_VERSION

MAX_EVENTS: Final = 200
MAX_BYTES: Final = 2 * 1024 * 1024
MAX_WAKES: Final = 8

_MAX_CLAIMS_ENDED: Final = 16
_HEALED_AT_ONCE: Final = 200
_CLAMPED_AT_ONCE: Final = 500
_CLAMP_CALLS: Final = 100
_BODIES_GIVEN_UP: Final = 1000


Words = Sequence[Argument]
"""An event as the accept script takes it: key, fingerprint, partition, header, body."""

Answer = Accepted | InboxFull | OutOfMemoryError
"""What becomes of one event; an error is of this event alone, and not of the call."""


def new_token() -> str:
    """Return a unique name for an owner or a wake-up."""
    return urandom(8).hex()


class Inbox(InboxAdmin):
    """The inbox as one process uses it; safe to share between threads, not across a fork."""

    def __init__(
        self,
        client: redis.Redis,
        *,
        prefix: str = "paidup:",
        limit: int = 0,
        lease: timedelta = LEASE,
        replicas: int = 0,
    ) -> None:
        """Allow at most ``limit`` unsettled events (0: no limit). The client answers in bytes.

        An event is accepted when ``replicas`` replicas have it, too.
        """
        super().__init__(client, prefix=prefix)
        self._limit = limit
        self._replica_wait = ReplicaWait(replicas) if replicas else None
        self._lease = lease
        self._heal_cursor = 0
        self._clamp_cursor = 0
        self._shared = SharedAccept[Words, Answer](self._accept)
        # Inbox epoch and highest accept that Redis gave this process: the next accept tells Redis.
        self._given: tuple[str, int] = ("", 0)

    def accept(
        self, envelope: Envelope, *, origin: str = "stripe", extra: Mapping[str, Any] | None = None
    ) -> Accepted:
        """Store a delivery on disk, or find that it is known. Then it may be acknowledged.

        Threads that call it at the same time share one call of the script.

        Raises:
            InboxFull: it is new, and the inbox is full.
            TooFewReplicas: it is stored, and must not be acknowledged.
        """
        words = (
            envelope.event_id,
            envelope.fingerprint,
            envelope.partition,
            encoding.write_header(envelope, origin=origin, extra=extra or {}),
            envelope.body,
        )
        answer = self._shared.accept(words, size=len(envelope.body))
        if isinstance(answer, Exception):
            raise answer
        return answer

    def _accept(self, events: Sequence[Words]) -> list[Answer]:
        """Accept events; if there is no memory, give up bodies of settled events, if there are any.

        A supervisor does it before the server is full, but none may be running.
        """
        answers = self._try_to_accept(events)
        refused = [at for at, answer in enumerate(answers) if isinstance(answer, OutOfMemoryError)]
        if refused and self._scripts.run("give_up_bodies", _BODIES_GIVEN_UP):
            again = self._try_to_accept([events[at] for at in refused])
            for at, answer in zip(refused, again, strict=True):
                answers[at] = answer
        return answers

    def _try_to_accept(self, events: Sequence[Words]) -> list[Answer]:
        epoch, highest = self._given
        waits = int(self._replica_wait is not None)
        words = chain.from_iterable(events)
        newest_epoch, newest, went_back, wake, *rows = self._write(
            "accept", self._limit, new_token(), epoch, highest, waits, *words
        )
        if newest_epoch:
            self._remember(newest_epoch, newest)
        answers = list(map(self._answer, rows[::2], rows[1::2]))
        if wake or went_back:
            lost = read_loss(self._client, self._scripts.prefix, epoch) if went_back else None
            _tell_one(answers, _word(wake), lost)
        return answers

    def _answer(self, status: bytes, result: bytes) -> Answer:
        if status == b"full":
            return InboxFull(self._limit)
        if status == b"no memory":
            return OutOfMemoryError("Redis has no memory for this event: raise its maxmemory")
        return _accepted(status, b"", result)

    def _remember(self, epoch: bytes, number: int) -> None:
        """Keep the highest number of the newest epoch; several threads call it in any order."""
        now = epoch.decode()
        if now != self._given[0] or number > self._given[1]:
            self._given = (now, number)

    def confirm_replicas(self) -> int:
        """Write something, and return how many replicas have it; 0 where none is wanted.

        Raises:
            TooFewReplicas: fewer than wanted.
        """
        self._write("replica_probe")
        return self._replica_wait.wanted if self._replica_wait else 0

    def _write(self, name: str, *arguments: Argument) -> Any:
        if self._replica_wait is None:
            return self._scripts.run(name, *arguments)
        return self._scripts.run_on_replicas(self._replica_wait, name, *arguments)

    def requeue(
        self,
        envelope: Envelope,
        *,
        key: str | None = None,
        lane: Lane = Lane.REPLAY,
        origin: str = "replay",
        extra: Mapping[str, Any] | None = None,
    ) -> Accepted:
        """Put a settled or dead-lettered event in again; a pending one stays as it is."""
        status, wake, marker = self._scripts.run(
            "requeue",
            key or envelope.event_id,
            lane,
            envelope.partition,
            encoding.write_header(envelope, origin=origin, extra=extra or {}),
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
        """Claim due events, oldest first, for the owner that ``token`` names.

        ``wake`` is the wake-up that led to this call. Events that the owner still held are released
        uncharged. If nothing is due, the owner's registration ends.
        """
        refused, owed, *rows = self._scripts.run(
            "claim",
            *(token, wake or "", new_token(), max_events, max_bytes),
            *(_ms(self._lease), _ms(REGISTRATION), VERSION, _ms(UNKNOWN_VERSION)),
            *lanes,
        )
        entries = tuple(encoding.read_entries(rows))
        return Claim(
            token=token,
            entries=entries,
            alone=len(entries) == 1,
            wake=_word(owed),
            refused=bool(refused),
        )

    def heartbeat(self, token: str) -> bool:
        """Renew the lease; False if the claim has ended and its events may have another owner."""
        return bool(self._scripts.run("heartbeat", token, _ms(self._lease), _ms(REGISTRATION)))

    def finish(
        self, token: str, finished: Sequence[Finished], took: BatchTime | None = None
    ) -> Closed:
        """Remove settled events and store their done markers. Call it only after COMMIT."""
        rows = [
            (event.key, encoding.write_marker(event), f"{event.settlement} {event.event_id}")
            for event in finished
        ]
        return self._leave(token, rows, counter="finished", took=took)

    def discard(self, token: str, keys: Sequence[str]) -> Closed:
        """Remove events that are dead letters now, without a done marker. Only after COMMIT."""
        return self._leave(token, [(key, "", "") for key in keys], counter="discarded")

    def _leave(
        self,
        token: str,
        rows: Sequence[tuple[str, str, str]],
        *,
        counter: str,
        took: BatchTime | None = None,
    ) -> Closed:
        time = took.words() if took else ("", "")
        flat = [word for row in rows for word in row]
        return Closed(events=self._scripts.run("finish", token, _ms(MARKER), counter, *time, *flat))

    def park(self, token: str, parked: Sequence[Parked]) -> int:
        """Make events due again later, with the reason, and return how many this owner held."""
        rows = [
            (
                event.key,
                max(round(event.delay_seconds * 1000), 0),
                int(event.charged),
                encoding.error_text(event.error),
                event.lane or "",
                max(round(event.rest_seconds * 1000), 0),
            )
            for event in parked
        ]
        parked_now: int = self._scripts.run("park", token, *(word for row in rows for word in row))
        return parked_now

    def release(self, token: str) -> int:
        """Make the rest of the claim due as before, uncharged, and return how many events."""
        released: int = self._scripts.run("leave", token, 0, "")[0]
        return released

    def suspect(self, token: str, keys: Sequence[str]) -> int:
        """Make events due as before, uncharged, each to be claimed alone; return how many."""
        suspected: int = self._scripts.run("suspect", token, *keys)
        return suspected

    def set_apart(self, token: str, keys: Sequence[str]) -> int:
        """Make events due as before, uncharged; their partitions share no claim for a while."""
        released: int = self._scripts.run("set_apart", token, _ms(APART), *keys)
        return released

    def unregister(self, token: str) -> None:
        """End a drainer's registration, or that of a wake-up that could not be published."""
        self._scripts.run("leave", token, 1, "")

    def leave(self, token: str, *, hand_on: bool) -> str | None:
        """End a drainer's registration; with ``hand_on``, return the wake-up owed for the rest."""
        return _word(self._scripts.run("leave", token, 1, new_token() if hand_on else "")[1])

    def sweep(self, *, max_wakes: int = MAX_WAKES) -> Sweep:
        """End leases that ran out and return the wake-ups owed; several may sweep at once."""
        swept, stepped_back = self._sweep(max_wakes)
        if not stepped_back:
            return swept
        clamped = self._clamp()
        # Once more: only now are the events due for which a wake-up is owed.
        again, _ = self._sweep(max_wakes - len(swept.wakes))
        return replace(
            again,
            wakes=swept.wakes + again.wakes,
            reclaimed=swept.reclaimed + again.reclaimed,
            crashed=swept.crashed + again.crashed,
            healed=swept.healed + again.healed,
            clamped=clamped,
        )

    def _sweep(self, max_wakes: int) -> tuple[Sweep, bool]:
        spans = (_ms(self._lease), _ms(REGISTRATION), _ms(ANNOUNCEMENT))
        tokens = [new_token() for _ in range(max_wakes)]
        reclaimed, crashed, orphans, stepped_back, *wakes = self._scripts.run(
            "sweep", _MAX_CLAIMS_ENDED, *spans, *tokens
        )
        swept = Sweep(
            wakes=tuple(wake.decode() for wake in wakes),
            reclaimed=reclaimed,
            crashed=crashed,
            healed=orphans + self._heal(),
        )
        return swept, bool(stepped_back)

    def _clamp(self) -> int:
        """Look at a part of the inbox; the next sweep goes on where this one ended."""
        clamped = 0
        for _ in range(_CLAMP_CALLS):
            cursor, found = self._scripts.run("clamp", self._clamp_cursor, _CLAMPED_AT_ONCE)
            self._clamp_cursor = int(cursor)
            clamped += int(found)
            if self._clamp_cursor == 0:
                break
        return clamped

    def release_orphan(self, token: str) -> Sweep:
        """End the claim of an owner that is known to be dead, before its lease runs out."""
        tokens = [new_token() for _ in range(MAX_WAKES)]
        reclaimed, crashed, *wakes = self._scripts.run("release_orphan", token, *tokens)
        owed = tuple(wake.decode() for wake in wakes)
        return Sweep(wakes=owed, reclaimed=reclaimed, crashed=crashed, healed=0)

    def _heal(self) -> int:
        cursor, healed = self._scripts.run("heal", self._heal_cursor, _HEALED_AT_ONCE)
        self._heal_cursor = int(cursor)
        return int(healed)

    def announce(self, worker_id: str, processes: int) -> None:
        """Announce a running worker and its pool processes, every few seconds; 0 removes it."""
        self._scripts.run("announce", worker_id, processes, _ms(ANNOUNCEMENT))


def _tell_one(answers: list[Answer], wake: str | None, lost: LostAccepts | None) -> None:
    """Put into one answer what one caller must do: publish a wake-up, report a loss."""
    known = [(at, answer) for at, answer in enumerate(answers) if isinstance(answer, Accepted)]
    new = [(at, answer) for at, answer in known if answer.status == "accepted"]
    at, answer = (new or known)[0]
    answers[at] = replace(answer, wake=wake, lost=lost)


def _accepted(status: bytes, wake: bytes, marker: bytes) -> Accepted:
    return Accepted(
        status=status.decode(),  # type: ignore[arg-type]  # the script knows these three words
        wake=_word(wake),
        result=encoding.read_result(marker),
    )


def _word(token: bytes) -> str | None:
    return token.decode() or None


def _ms(span: timedelta) -> int:
    return round(span.total_seconds() * 1000)
