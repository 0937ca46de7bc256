"""A pool whose ledger ends the process when it meets one event."""

import os
from collections.abc import Sequence
from datetime import timedelta

from runtime.inbox.inbox import Inbox
from runtime.ledger.deliveries import Delivery, Settlement
from runtime.ledger.record import Ledger
from workers.drain.pool import main

POISON = "evt_666"

LEASE = timedelta(seconds=2)
"""Shorter than production's, so that three crashes do not take a minute."""

_record = Ledger.record


def _die_of_poison(
    ledger: Ledger, deliveries: Sequence[Delivery], lock_seconds: float
) -> list[Settlement]:
    if any(delivery.envelope.event_id == POISON for delivery in deliveries):
        os._exit(9)
    return _record(ledger, deliveries, lock_seconds)


if __name__ == "__main__":
    defaults = Inbox.__init__.__kwdefaults__
    assert defaults is not None
    defaults["lease"] = LEASE
    Ledger.record = _die_of_poison  # type: ignore[method-assign,assignment]
    main()
