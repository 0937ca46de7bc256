"""The Redis stream of entitlement changes: the newest ones, pushed to whoever reads it.

An entry's id is its cursor, so the stream itself knows how far it was written, a reader may go on
in the view where the stream was cut, and the other way round. Redis refuses an id that is not
higher than the last, so two writers leave each change there once.
"""

from collections.abc import Sequence
from typing import Any, Final

import redis

from runtime.changes.feed import Change

STREAM: Final = "entitlement_changes"

_NO_STREAM: Final = "no such key"
_KNOWN: Final = "equal or smaller"
"""What Redis says of an id that is there already, or was."""


class ChangeStream:
    """One process' way to the stream; ``length`` is about how many entries it keeps."""

    def __init__(self, client: redis.Redis, *, length: int, prefix: str = "paidup:") -> None:
        self.length = length
        self._client = client
        self._key = f"{prefix}{STREAM}"

    def last_cursor(self) -> int:
        """The cursor of the last entry ever written, trimmed or not; 0 where there is no stream."""
        try:
            told: Any = self._client.xinfo_stream(self._key)
        except redis.ResponseError as error:
            if _NO_STREAM in str(error):
                return 0
            raise
        last: bytes = told["last-generated-id"]
        return int(last.partition(b"-")[0])

    def add(self, changes: Sequence[Change]) -> None:
        """Append in order, all or, on a full server, none; what is there already stays once."""
        with self._client.pipeline(transaction=True) as pipeline:
            for change in changes:
                pipeline.xadd(
                    self._key, _entry(change), id=f"{change.cursor}-0", maxlen=self.length
                )
            answers = pipeline.execute(raise_on_error=False)
        for answer in answers:
            if isinstance(answer, Exception) and _KNOWN not in str(answer):
                raise answer

    def clear(self) -> None:
        """Forget the stream; readers find the changes in the view."""
        self._client.unlink(self._key)


def _entry(change: Change) -> dict[Any, Any]:
    return {
        "cursor": change.cursor,
        "user_id": change.user_id,
        "source": change.source,
        "plan_code": change.plan_code,
        "change": change.change,
        "event_id": change.event_id or "",
        "occurred_at": change.occurred_at.isoformat(),
    }
