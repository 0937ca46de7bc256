"""Run every script of the inbox on keys of its own, as ingest and workers do, and remove them.

Settings alone do not show what a server lets this user do. A managed server may lack a command, a
proxy may split the keys over several servers, and access rights may end at one command.
"""

import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import timedelta
from functools import partial
from typing import Final

import redis

from billing.envelope import Envelope, parse
from ops.doctor.findings import Finding, ok, problem, warning
from ops.terminal.formats import format_duration
from runtime.error_text import describe
from runtime.history.reports import Report
from runtime.history.spans import DAY, HOUR
from runtime.history.writer import HistoryWriter
from runtime.inbox.entries import Deferred, Finished, Parked
from runtime.inbox.fetch_lane import FetchLane
from runtime.inbox.inbox import Inbox, new_token
from runtime.inbox.recent import RecentEvents
from runtime.inbox.replicas import TooFewReplicas
from runtime.inbox.room import RoomMeasure
from runtime.inbox.scripts import Scripts
from runtime.inbox.service_times import CLASSES, BatchTime
from runtime.inbox.signatures import SignatureRecord
from runtime.inbox.wrong_paths import WrongPaths

_CHECK: Final = "Redis scripts"
PREFIX: Final = "paidup:doctor:"
_LOCK: Final = "paidup:doctor"
_LOCKED: Final = timedelta(minutes=1)
"""A check takes less than a second, as a rule."""
_EVENTS: Final = 6
_OWNER: Final = "doctor"
_FETCHER: Final = "doctor-fetch"
_EPOCH: Final = "doctor"
_TOOK: Final = BatchTime(events=1, seconds=0.01)

_NAMES: Final = (
    *("apart", "arrivals", "breaker", "breaker:fetch", "claims", "clock", "conflicts", "counters"),
    *(HOUR.key, DAY.key),
    *("database:epoch", "drainers", "epoch", "event:body", "event:meta", "fetch:health"),
    *("fetch:wakes", "fetchers", "held", "history", "index", "index:fetch", "index:replay"),
    *("lost:accepts", "parked", "parked:fetch", "ready:fetch", "ready:live", "ready:replay"),
    *("resting", "secrets", "settled", "settled:bodies", "settled:state", "signatures", "sizes"),
    *(f"service:{size}" for size in CLASSES),
    *("stripe:accounts", "stripe:results", f"stripe:budget:{_OWNER}", f"stripe:sent:{_OWNER}"),
    *("sweeper", "unknown", "workers", "wrong_paths", f"claim:{_OWNER}", f"claim:{_FETCHER}"),
)
"""Every key that the scripts may write, but for those of each event. A scan would take long."""


def check_scripts(client: redis.Redis, *, replicas: int) -> Iterator[Finding]:
    """Name the first step that fails, and remove the keys in any case.

    The keys are always the same, under a lock: a check that is killed leaves them to the next one.
    """
    token = new_token()
    try:
        locked = client.set(_LOCK, token, nx=True, px=_LOCKED)
    except redis.RedisError as error:
        yield _failed("lock", error)
        return
    if not locked:
        yield warning(
            _CHECK,
            "not run, because another `paidup doctor` is at it or was killed: run this one again in"
            f" {format_duration(_LOCKED.total_seconds())}",
        )
        return
    try:
        yield from _rehearse(InboxRehearsal(client, PREFIX, replicas=replicas))
    finally:
        _unlock(client, token)


def _rehearse(rehearsal: "InboxRehearsal") -> list[Finding]:
    try:
        rehearsal.remove_keys()  # those of a check that was killed
    except redis.RedisError as error:
        return [_failed("remove_keys", error)]
    found: list[Finding] = []
    try:
        found.append(_run(rehearsal))
    finally:
        found += _removal(rehearsal)
    return found


def _run(rehearsal: "InboxRehearsal") -> Finding:
    step = "connect"
    try:
        for step, run in rehearsal.steps():  # noqa: B007 - named if it fails
            run()
    except TooFewReplicas as few:
        return problem(_CHECK, f"`{step}` failed: {few}")
    except (redis.RedisError, ValueError, LookupError) as error:
        return _failed(step, error)
    return ok(_CHECK, "every script ran on keys of its own, which are removed")


def _failed(step: str, error: Exception) -> Finding:
    says = f"`{step}` failed: {describe(error)}"
    return problem(
        _CHECK,
        f"{says}; let the user of REDIS_URL run EVALSHA, EVAL and data commands on paidup:*,"
        " on a server that has all keys in one place",
    )


def _removal(rehearsal: "InboxRehearsal") -> Iterator[Finding]:
    try:
        rehearsal.remove_keys()
    except redis.RedisError as error:
        says = f"its keys, which start with {PREFIX}, could not be removed: {describe(error)}"
        yield problem(_CHECK, f"{says}; run `paidup doctor` again, which removes them")


def _unlock(client: redis.Redis, token: str) -> None:
    with suppress(redis.RedisError):  # it ends by itself
        if client.get(_LOCK) == token.encode():
            client.delete(_LOCK)


class InboxRehearsal:
    """The way of some events through an inbox of their own, whose keys start with ``prefix``."""

    def __init__(self, client: redis.Redis, prefix: str, *, replicas: int) -> None:
        self._client = client
        self._prefix = prefix
        self._scripts = Scripts(client, prefix)
        self._inbox = Inbox(client, prefix=prefix, replicas=replicas)
        self._lane = FetchLane(client, at_once=1, prefix=prefix)
        self._recent = RecentEvents(client, prefix=prefix)
        self._events = [_event(number) for number in range(_EVENTS)]

    def steps(self) -> Iterator[tuple[str, Callable[[], object]]]:
        """Yield each step with its name; together they run every script."""
        yield from self._steps_of_ingest()
        yield from self._steps_of_workers()
        yield from self._steps_of_fetching()
        yield from self._steps_of_supervisor()

    def remove_keys(self) -> None:
        """Remove all keys.

        Raises:
            RedisError: the server is away, or does not let us.
        """
        keys = [f"{self._prefix}{name}" for name in (*_NAMES, *self._names_of_events())]
        self._client.delete(*keys)

    def _names_of_events(self) -> Iterator[str]:
        for event in self._events:
            yield f"done:{event.event_id}"
            yield from (f"queue:{lane}|{event.partition}" for lane in ("live", "replay", "fetch"))

    def _steps_of_ingest(self) -> Iterator[tuple[str, Callable[[], object]]]:
        yield "survey", self._recent.survey
        for event in (*self._events, self._events[0]):
            yield "accept", partial(self._inbox.accept, event)
        yield "replica_probe", self._inbox.confirm_replicas
        yield "backlog", self._inbox.backlog
        yield "room", RoomMeasure(self._client, limit=_EVENTS, prefix=self._prefix).note
        record = SignatureRecord(self._client, prefix=self._prefix)
        history = HistoryWriter(self._client, "ingest", Report, prefix=self._prefix)
        yield "counts", history.report
        yield "signatures", lambda: record.add(mismatched=1, matched=("",))
        yield "wrong_paths", lambda: WrongPaths(self._client, prefix=self._prefix).add({"/": 1})

    def _steps_of_workers(self) -> Iterator[tuple[str, Callable[[], object]]]:
        keys = [event.event_id for event in self._events]
        inbox = self._inbox
        yield "announce", lambda: inbox.announce(_OWNER, 1)
        yield "claim", self._claim
        yield "heartbeat", lambda: inbox.heartbeat(_OWNER)
        yield "finish", lambda: inbox.finish(_OWNER, [_finished(self._events[0])], _TOOK)
        yield "park", lambda: inbox.park(_OWNER, [_parked(keys[1])])
        yield "suspect", lambda: inbox.suspect(_OWNER, keys[2:3])
        yield "set_apart", lambda: inbox.set_apart(_OWNER, keys[3:4])
        yield "defer", lambda: self._lane.defer(_OWNER, [Deferred(key=keys[4])])
        yield "leave", lambda: inbox.leave(_OWNER, hand_on=True)
        yield "requeue", lambda: inbox.requeue(self._events[0])
        yield "peek", lambda: inbox.peek(keys)
        yield "forget", lambda: inbox.forget_conflicts(keys[:1])

    def _steps_of_fetching(self) -> Iterator[tuple[str, Callable[[], object]]]:
        yield "fetch", lambda: self._lane.claim(_FETCHER, wake=None)
        yield "fetch_health", self._lane.succeeded
        yield "fetch_leave", lambda: self._lane.leave(_FETCHER, hand_on=True)
        yield "fetch_wake", self._lane.wake
        run = self._scripts.run
        turn = (_OWNER, "/", "bulk", 1, 0, 1, "read")
        yield "budget_take", partial(run, "budget_take", *turn)
        yield "budget_note", partial(run, "budget_note", _OWNER, _OWNER, "limited", 1, "")

    def _steps_of_supervisor(self) -> Iterator[tuple[str, Callable[[], object]]]:
        inbox, recent = self._inbox, self._recent
        yield "lead", lambda: inbox.lead(_OWNER, 1)
        yield "breaker", lambda: inbox.open_breaker("a check of doctor", 1)
        yield "breaker", inbox.close_breaker
        yield "release_orphan", lambda: inbox.release_orphan(_OWNER)
        yield "sweep", inbox.sweep
        yield "clamp", lambda: self._scripts.run("clamp", 0, 100)
        yield "compare", lambda: recent.compare(_EPOCH, 1, counted=0)
        yield "close_losses", recent.close_losses
        yield "confirm", lambda: recent.confirm(recent.survey(), _EPOCH)
        yield "make_room", recent.make_room
        yield "give_up_bodies", lambda: self._scripts.run("give_up_bodies", 100)
        yield "requeue_recent", lambda: recent.requeue_recent(recent.survey().at)
        yield "went_back", lambda: recent.void_done_markers(_EPOCH)

    def _claim(self) -> None:
        """Claim what was accepted.

        Raises:
            LookupError: the server took the events and does not give them back.
        """
        claimed = len(self._inbox.claim(_OWNER).entries)
        if claimed != _EVENTS:
            raise LookupError(f"{claimed} of {_EVENTS} accepted events were there")


def _event(number: int) -> Envelope:
    customer = {"id": f"cus_doctor_{number}", "object": "customer"}
    document = {
        "id": f"evt_doctor_{number}",
        "object": "event",
        "type": "customer.updated",
        "created": number,
        "livemode": False,
        "data": {"object": customer},
    }
    return parse(json.dumps(document).encode())


def _finished(event: Envelope) -> Finished:
    return Finished(
        key=event.event_id,
        event_id=event.event_id,
        fingerprint=event.fingerprint,
        settlement=1,
        database_epoch=_EPOCH,
        result={},
    )


def _parked(key: str) -> Parked:
    return Parked(key=key, delay_seconds=60, charged=True, error="a check of doctor")
