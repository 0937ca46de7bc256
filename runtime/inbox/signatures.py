"""Keep how many deliveries in a row matched no signing secret, and when each secret was used.

Each gets a 403, and nothing of it is stored. With the secret of another endpoint every delivery is
one, while ingest is ready and all its settings are valid.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import redis

from runtime.inbox.encoding import read_time
from runtime.inbox.scripts import Scripts

_KEPT: Final = timedelta(days=7)
_USES_KEPT: Final = timedelta(days=35)


@dataclass(frozen=True, slots=True, kw_only=True)
class Mismatches:
    """Deliveries in a row that matched no secret, and the time of the last one that did."""

    deliveries: int
    first_at: datetime
    last_at: datetime
    matched_at: datetime | None
    """None if none matched in the last seven days."""


class SignatureRecord:
    """The record in Redis, to which all processes of ingest add."""

    def __init__(self, client: redis.Redis, *, prefix: str = "paidup:") -> None:
        """Use a client that answers in bytes; ``make_redis`` makes one."""
        self._client = client
        self._scripts = Scripts(client, prefix)

    def add(self, *, mismatched: int, matched: Collection[str]) -> None:
        """Add deliveries that matched no secret; another one forgets those before it.

        ``matched`` are the fingerprints of the secrets that others matched.
        """
        kept, uses = (round(each.total_seconds() * 1000) for each in (_KEPT, _USES_KEPT))
        self._scripts.run("signatures", kept, uses, mismatched, *matched)

    def last_used(self) -> Mapping[str, datetime]:
        """Return when each secret was used last, by fingerprint, to the minute.

        A secret that was not used for 35 days is not there.
        """
        uses: Any = self._client.hgetall(f"{self._scripts.prefix}secrets")
        return {name.decode(): read_time(at) for name, at in uses.items()}

    def read(self) -> Mismatches | None:
        """Return the deliveries that matched no secret since the last that did, if there are."""
        record: Any = self._client.hgetall(f"{self._scripts.prefix}signatures")
        if b"mismatched" not in record:
            return None
        matched_at = record.get(b"matched_at")
        return Mismatches(
            deliveries=int(record[b"mismatched"]),
            first_at=read_time(record[b"first_at"]),
            last_at=read_time(record[b"last_at"]),
            matched_at=read_time(matched_at) if matched_at else None,
        )
