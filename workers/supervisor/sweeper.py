"""Wakes workers for what is due and nobody claimed, and ends claims whose owner went silent.

It is the only retry scheduler there is. One supervisor at a time does it, by a lock in Redis; two
would do no harm.
"""

from typing import Final, Protocol

import structlog
from sqlalchemy.engine import Engine
from sqlalchemy.exc import SQLAlchemyError

from runtime.broker import Publish
from runtime.failures.classify import classify
from runtime.failures.conflicts import Conflicts, bury_conflicts
from runtime.inbox.entries import Sweep
from runtime.inbox.inbox import new_token
from workers.supervisor.database_probe import REOPEN_SECONDS, outage

log = structlog.get_logger(__name__)

LOCK_SECONDS: Final = 5.0

RAMP: Final = (1, 2)
"""Wake-ups of the first rounds after an outage; the database gets its breath back first."""

MOST_WAKES: Final = 8

ROUNDS_OF_REST: Final = 30
"""Before conflicts that PostgreSQL did not take are tried again; sweeping must not wait for it."""


class Inbox(Conflicts, Protocol):
    """The inbox, as far as a sweeper knows it."""

    def sweep(self, *, most_wakes: int) -> Sweep:
        """End silent claims, and say whom to wake."""
        ...

    def bereave(self, token: str) -> Sweep:
        """End the claim of an owner that is dead."""
        ...

    def unregister(self, token: str) -> None:
        """Take back a wake-up that is not sent."""
        ...

    def breaker_open(self) -> bool:
        """Whether nothing is dispatched."""
        ...

    def open_breaker(self, reason: str, seconds: float) -> None:
        """Keep it so."""
        ...

    def close_breaker(self) -> None:
        """Dispatch again."""
        ...


class Lead(Protocol):
    """The inbox, as far as supervisors take turns by it."""

    def lead(self, supervisor: str, seconds: float) -> bool:
        """Take or keep the lead, or let it go."""
        ...


class SweeperLock:
    """Held by one supervisor; a dead one loses it within seconds."""

    def __init__(self, inbox: Lead) -> None:
        self._inbox = inbox
        self._token = new_token()

    def hold(self) -> bool:
        """Take or keep the lock; False while somebody else has it."""
        return self._inbox.lead(self._token, LOCK_SECONDS)

    def release(self) -> None:
        """Let the next supervisor have it at once."""
        self._inbox.lead(self._token, 0)


class Sweeper:
    """One round a second, while the lock is held."""

    def __init__(self, inbox: Inbox, publish: Publish, engine: Engine) -> None:
        self._inbox = inbox
        self._publish = publish
        self._engine = engine
        self._round = len(RAMP)
        self._resting = 0

    def sweep(self) -> None:
        """Reclaim, and wake whom the inbox says is owed; while the breaker is open, only probe."""
        if self._inbox.breaker_open():
            self._probe()
        self._follow(self._inbox.sweep(most_wakes=self._most_wakes()))
        self._bury_conflicts()

    def bereave(self, token: str) -> None:
        """What a drainer that died on this machine held is due again now; no lock is needed."""
        self._follow(self._inbox.bereave(token))

    def _follow(self, swept: Sweep) -> None:
        if swept.reclaimed or swept.healed:
            log.warning(
                "inbox mended",
                reclaimed=swept.reclaimed,
                crashed_alone=swept.crashed,
                healed=swept.healed,
            )
        for token in swept.wakes:
            if not self._publish(token):
                self._inbox.unregister(token)

    def _bury_conflicts(self) -> None:
        """Second bodies under one id go where a person finds them, as soon as there is a place."""
        self._resting -= 1
        if self._resting > 0 or self._inbox.breaker_open():
            return
        try:
            moved = bury_conflicts(self._inbox, self._engine)
        except SQLAlchemyError as error:
            self._resting = ROUNDS_OF_REST
            failure = classify(error)
            log.warning("conflicts not buried", error_type=failure.error_type, why=failure.reason)
            return
        for key in moved:
            log.critical("two different events under one id; see paidup dead show", key=key)

    def _most_wakes(self) -> int:
        if self._round >= len(RAMP):
            return MOST_WAKES
        self._round += 1
        return RAMP[self._round - 1]

    def _probe(self) -> None:
        if (failure := outage(self._engine)) is not None:
            self._inbox.open_breaker(failure.reason, REOPEN_SECONDS)
            return
        self._inbox.close_breaker()
        self._round = 0
        log.info("breaker closed")
