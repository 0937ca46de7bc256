"""Keep the paths at which ingest got signed deliveries and which are not the endpoint's.

Such a delivery gets a 404, so nothing of it is stored. Without this record only Stripe's dashboard
would show that events are lost to a URL with a typing mistake.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import redis

from runtime import webhook_path
from runtime.inbox.encoding import read_time
from runtime.inbox.scripts import Scripts

_KEPT: Final = timedelta(days=1)
_MAX_PATHS: Final = 20
_VALUE: Final = re.compile(rb"(\d+) (\d+) (\d+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class WrongPath:
    """A path, and the signed deliveries that came to it since ``first_at``."""

    path: str
    deliveries: int
    first_at: datetime
    last_at: datetime


class WrongPaths:
    """The record in Redis, at most twenty paths of the last day; all processes of ingest add."""

    def __init__(self, client: redis.Redis, *, prefix: str = "paidup:") -> None:
        """Use a client that answers in bytes; ``make_redis`` makes one."""
        self._client = client
        self._scripts = Scripts(client, prefix)

    def add(self, deliveries: Mapping[str, int]) -> None:
        """Add the number of deliveries for each path."""
        pairs = [word for pair in deliveries.items() for word in pair]
        kept = round(_KEPT.total_seconds() * 1000)
        self._scripts.run("wrong_paths", kept, _MAX_PATHS, *pairs)

    def read(self, endpoint: str) -> tuple[WrongPath, ...]:
        """Return the paths that are not ``endpoint``, most deliveries first.

        A path that became the endpoint's since then is none of them.
        """
        record: Any = self._client.hgetall(f"{self._scripts.prefix}wrong_paths")
        right = webhook_path.spellings(endpoint)
        found = (path for path in _read(record) if path.path not in right)
        return tuple(sorted(found, key=lambda each: (-each.deliveries, each.path)))


def _read(record: Mapping[bytes, bytes]) -> Iterator[WrongPath]:
    for path, value in record.items():
        if (seen := _VALUE.fullmatch(value)) is None:
            continue  # another program wrote it; the next ``add`` drops it
        count, first, last = map(int, seen.groups())
        yield WrongPath(
            path=path.decode(errors="replace"),
            deliveries=count,
            first_at=read_time(first),
            last_at=read_time(last),
        )
