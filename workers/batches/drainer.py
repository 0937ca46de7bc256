"""Claim events, record them and finish them, until nothing is due or the time is up.

A drainer never waits. A heartbeat in a second thread keeps its claim alive. If the process dies,
its events are still in the inbox, and another drainer can claim them at the latest when the lease
ends.
"""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from typing import Final

import structlog
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError

from runtime.broker import Publish
from runtime.failures.canary import concerns_every_event
from runtime.failures.classify import Infrastructure, Outdated
from runtime.guard import start_loop
from runtime.inbox.entries import Claim, InboxEntry
from runtime.inbox.inbox import new_token
from runtime.time_limits import (
    BREAKER_SECONDS,
    HEARTBEAT_SECONDS,
    MAX_RUN_SECONDS,
    RELEASE_PAUSE_SECONDS,
)
from workers.batches.executor import BatchResult
from workers.batches.finisher import Finisher
from workers.ports import ClaimedEvents, ClaimQueue

log = structlog.get_logger(__name__)

RELEASE_TRIES: Final = 30

ExecuteBatch = Callable[[Sequence[InboxEntry], Callable[[], bool]], BatchResult]
"""Record a claimed batch; the second argument returns True once the process is to stop."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Drainer:
    """Everything one worker process needs to drain; built once after the fork."""

    queue: ClaimQueue
    claimed: ClaimedEvents
    execute: ExecuteBatch
    finisher: Finisher
    publish: Publish
    is_stopping: Callable[[], bool]
    on_claim: Callable[[], None]
    holding: Callable[[str], AbstractContextManager[object]]
    max_run_seconds: float = MAX_RUN_SECONDS
    pause_seconds: float = RELEASE_PAUSE_SECONDS

    def run(self, wake: str) -> None:
        """Drain until nothing is due; ``wake`` is the token of the wake-up that started it."""
        token = new_token()
        ends_at = time.monotonic() + self.max_run_seconds

        def may_go_on() -> bool:
            return time.monotonic() < ends_at and not self.is_stopping()

        with self.holding(token), _heartbeats(self.claimed, token):
            try:
                self._drain(token, wake, may_go_on)
            except (RedisConnectionError, RedisTimeoutError) as error:
                log.warning("Redis became unreachable while draining", error=str(error))
                self._release_later(token)

    def _drain(self, token: str, wake: str, may_go_on: Callable[[], bool]) -> None:
        unused_wake: str | None = wake
        while may_go_on():
            self.on_claim()
            began = time.perf_counter()
            claim = self.queue.claim(token, wake=unused_wake)
            unused_wake = None
            if not claim.entries:
                return
            if self._execute(token, claim, began) is not None:
                self.queue.leave(token, hand_on=False)
                return
        if unused_wake is not None:
            self.queue.leave(unused_wake, hand_on=False)
        if (owed := self.queue.leave(token, hand_on=True)) is not None:
            self._wake(owed)

    def _execute(self, token: str, claim: Claim, began: float) -> Infrastructure | Outdated | None:
        """Execute and finish one batch; return the failure that makes another one futile."""
        result = self.execute(claim.entries, self.is_stopping)
        halted_by = self.finisher.finish(token, result, began=began)
        if isinstance(halted_by, Infrastructure):
            self.claimed.open_breaker(halted_by.reason, BREAKER_SECONDS)
            if concerns_every_event(halted_by.reason):
                log.error("no event can be applied: workers pause", reason=halted_by.reason)
            else:
                log.warning("PostgreSQL is unavailable: workers pause", reason=halted_by.reason)
        if claim.wake is not None and halted_by is None:
            self._wake(claim.wake)
        elif claim.wake is not None:
            self.queue.leave(claim.wake, hand_on=False)
        return halted_by

    def _release_later(self, token: str) -> None:
        """Release the claim once Redis is reachable; the end of a lease makes suspects."""
        for _ in range(RELEASE_TRIES):
            if self.is_stopping():
                return
            time.sleep(self.pause_seconds)
            with suppress(RedisError):
                if (owed := self.queue.leave(token, hand_on=True)) is not None:
                    self._wake(owed)
                return

    def _wake(self, owed: str) -> None:
        if not self.publish(owed):
            self.queue.leave(owed, hand_on=False)


@contextmanager
def _heartbeats(claimed: ClaimedEvents, token: str) -> Iterator[None]:
    """Keep the claim alive from a second thread until the block ends."""
    ended = threading.Event()

    def beat() -> None:
        # The next beat makes up for a missed one; otherwise the lease ends as it should.
        with suppress(RedisError):
            claimed.heartbeat(token)

    thread = start_loop("heartbeat", beat, pause=lambda: HEARTBEAT_SECONDS, stopped=ended)
    try:
        yield
    finally:
        ended.set()
        thread.join()
