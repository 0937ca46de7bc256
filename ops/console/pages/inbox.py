"""Look into Redis for a page, which is shown without it if Redis does not answer."""

from collections.abc import Callable, Sequence
from typing import Final

from redis import RedisError

from ops.errors import first_line
from ops.queries.waiting_events import InboxSearch
from runtime.inbox.entries import PeekedEvent
from runtime.inbox.inbox import Inbox
from runtime.redis_client import make_redis
from runtime.settings import Settings

_ANSWER_SECONDS: Final = 1.0
_CONNECTIONS: Final = 4


class PageInbox:
    """The inbox as the pages of one process see it; connects when it is first asked."""

    def __init__(self, settings: Settings) -> None:
        self._client = (
            make_redis(settings, timeout=_ANSWER_SECONDS, pool_size=_CONNECTIONS)
            if settings.redis_url
            else None
        )

    def close(self) -> None:
        """Close the connections."""
        if self._client is not None:
            self._client.close()

    def search(self, look: Callable[[Inbox], Sequence[PeekedEvent]]) -> InboxSearch:
        """Return what is found in the inbox, or the reason why it was not searched."""
        if self._client is None:
            return InboxSearch(error="REDIS_URL is not set")
        try:
            return InboxSearch(events=look(Inbox(self._client)))
        except RedisError as error:
            return InboxSearch(error=f"Redis does not answer: {first_line(error)}")

    def count(self) -> int | None:
        """Return how many events the inbox holds, None if Redis does not answer."""
        if self._client is None:
            return None
        try:
            return Inbox(self._client).backlog().events
        except RedisError:
            return None
