"""A pool whose ledger ends the process when it meets one event."""

import os
from collections.abc import Sequence

from runtime.ledger.deliveries import Delivery, Settlement
from runtime.ledger.record import Ledger
from workers.drain.pool import main

POISON = "evt_666"

_record = Ledger.record


def _die_of_poison(
    ledger: Ledger, deliveries: Sequence[Delivery], lock_seconds: float
) -> list[Settlement]:
    if any(delivery.envelope.event_id == POISON for delivery in deliveries):
        os._exit(9)
    return _record(ledger, deliveries, lock_seconds)


if __name__ == "__main__":
    Ledger.record = _die_of_poison  # type: ignore[method-assign,assignment]
    main()
