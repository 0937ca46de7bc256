"""What a woken worker does: claim, apply, finish, again, until nothing is due or its time is up.

A drainer never waits. Its claims are kept alive by a heartbeat beside it; whatever ends the
process, the events are in the inbox and somebody else's at the latest when the lease is over.
"""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from typing import Final, Protocol

import structlog
from redis.exceptions import ConnectionError as RedisAway
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as RedisSilent

from runtime.broker import Publish
from runtime.failures.classify import Infrastructure, Outdated
from runtime.inbox.entries import Claim, Entry
from runtime.inbox.inbox import new_token
from workers.drain.executor import Applied
from workers.drain.finisher import Orders
from workers.ports import Claims

log = structlog.get_logger(__name__)

LONGEST_RUN_SECONDS: Final = 5.0
"""Then the drainer hands on: a Celery task of bounded length can be stopped, renewed, killed."""

HEARTBEAT_SECONDS: Final = 1.0
GIVE_BACK_TRIES: Final = 30
BREAKER_SECONDS: Final = 30.0
"""How long the breaker stays open if no supervisor is there to probe and close it."""


class Applies(Protocol):
    """What becomes of a claimed batch, decided and recorded."""

    def apply(self, entries: Sequence[Entry], *, may_go_on: Callable[[], bool]) -> Applied:
        """One verdict for each entry."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Drainer:
    """Everything one worker process needs to drain, built once after the fork."""

    inbox: Claims
    applier: Applies
    orders: Orders
    publish: Publish
    is_stopping: Callable[[], bool]
    moved: Callable[[], None]
    naming: Callable[[str], AbstractContextManager[object]]
    longest_run_seconds: float = LONGEST_RUN_SECONDS
    pause_seconds: float = 0.5

    def run(self, wake: str) -> None:
        """Drain until nothing is due; ``wake`` is the wake-up that led here."""
        token = new_token()
        ends_at = time.monotonic() + self.longest_run_seconds

        def may_go_on() -> bool:
            return time.monotonic() < ends_at and not self.is_stopping()

        with self.naming(token), _heart(self.inbox, token):
            try:
                self._drain(token, wake, may_go_on)
            except (RedisAway, RedisSilent) as error:
                log.warning("redis away in the middle of a batch", error=str(error))
                self._give_back_later(token)

    def _drain(self, token: str, wake: str, may_go_on: Callable[[], bool]) -> None:
        came_by: str | None = wake
        while may_go_on():
            self.moved()
            claim = self.inbox.claim(token, wake=came_by)
            came_by = None
            if not claim.entries:
                return
            if self._apply(token, claim, may_go_on) is not None:
                self.inbox.leave(token, hand_on=False)
                return
        if came_by is not None:
            self.inbox.unregister(came_by)
        if (owed := self.inbox.leave(token, hand_on=True)) is not None:
            self._wake(owed)

    def _apply(
        self, token: str, claim: Claim, may_go_on: Callable[[], bool]
    ) -> Infrastructure | Outdated | None:
        """Apply and obey one batch; says what makes a further one pointless, if anything does."""
        applied = self.applier.apply(claim.entries, may_go_on=may_go_on)
        halted_by = self.orders.obey(token, applied)
        if isinstance(halted_by, Infrastructure):
            self.inbox.open_breaker(halted_by.reason, BREAKER_SECONDS)
            log.warning("breaker opened", reason=halted_by.reason)
        if claim.wake is not None and halted_by is None:
            self._wake(claim.wake)
        elif claim.wake is not None:
            self.inbox.unregister(claim.wake)
        return halted_by

    def _give_back_later(self, token: str) -> None:
        """Let go as soon as Redis is back: the end of a lease makes suspects, and takes longer."""
        for _ in range(GIVE_BACK_TRIES):
            if self.is_stopping():
                return
            time.sleep(self.pause_seconds)
            with suppress(RedisError):
                if (owed := self.inbox.leave(token, hand_on=True)) is not None:
                    self._wake(owed)
                return

    def _wake(self, owed: str) -> None:
        if not self.publish(owed):
            self.inbox.unregister(owed)


@contextmanager
def _heart(inbox: Claims, token: str) -> Iterator[None]:
    """Keep the claim alive from a thread beside, until the block ends."""
    ended = threading.Event()

    def beat() -> None:
        while not ended.wait(HEARTBEAT_SECONDS):
            # A beat that is missed is made up by the next one, or the lease ends as it should.
            with suppress(RedisError):
                inbox.heartbeat(token)

    thread = threading.Thread(target=beat, name="heartbeat", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
