"""Wake workers for due events that are not claimed, and end claims without a heartbeat.

This is the only retry scheduler. One supervisor at a time does it, by a lease in Redis; two would
do no harm.
"""

from collections.abc import Callable
from typing import Final

import structlog

from runtime.broker import Publish
from runtime.inbox.entries import Sweep
from runtime.inbox.inbox import new_token
from runtime.time_limits import LEAD_SECONDS
from workers.ports import SweepInbox

log = structlog.get_logger(__name__)

RAMP: Final = (1, 2)
"""Wake-ups in the first sweeps after an outage, so that the database is not overloaded."""

MAX_WAKES: Final = 8

TakeLease = Callable[[str, float], bool]
"""Take or keep the lease for so many seconds, or give it up with 0; True if this owner holds it."""


class SweeperLease:
    """A lease that one supervisor holds; a dead supervisor loses it within seconds."""

    def __init__(self, take: TakeLease) -> None:
        self._take = take
        self._token = new_token()

    def hold(self) -> bool:
        """Take or keep the lease; return False while another supervisor holds it."""
        return self._take(self._token, LEAD_SECONDS)

    def release(self) -> None:
        """Give up the lease, so that another supervisor can take it at once."""
        self._take(self._token, 0)


class Sweeper:
    """Sweeps the inbox, once a second, while this supervisor holds the lease.

    It knows Redis only, so it goes on while PostgreSQL is frozen.
    """

    def __init__(self, inbox: SweepInbox, publish: Publish) -> None:
        self._inbox = inbox
        self._publish = publish
        self._ramp_step = len(RAMP)

    def sweep(self) -> None:
        """End silent claims and publish owed wake-ups; none is owed while the breaker is open."""
        self._publish_wakes(self._inbox.sweep(max_wakes=self._max_wakes()))

    def release_orphan(self, token: str) -> None:
        """Make the events of a drainer that died on this machine due again; needs no lease."""
        self._publish_wakes(self._inbox.release_orphan(token))

    def _publish_wakes(self, swept: Sweep) -> None:
        if swept.clamped:
            log.warning(
                "Redis' clock stepped back: times ahead of it were set", events=swept.clamped
            )
        if swept.reclaimed or swept.healed:
            log.warning(
                "inbox repaired",
                reclaimed=swept.reclaimed,
                crashed_alone=swept.crashed,
                healed=swept.healed,
            )
        for token in swept.wakes:
            if not self._publish(token):
                self._inbox.unregister(token)

    def _max_wakes(self) -> int:
        if self._inbox.breaker_open():
            self._ramp_step = 0
            return RAMP[0]
        if self._ramp_step >= len(RAMP):
            return MAX_WAKES
        self._ramp_step += 1
        return RAMP[self._ramp_step - 1]
