from collections.abc import Iterator

import pytest
import redis

from runtime.inbox.inbox import Inbox


@pytest.fixture
def client(redis_url: str) -> Iterator[redis.Redis]:
    """A plain client of an empty Redis."""
    client = redis.Redis.from_url(redis_url, protocol=2)
    yield client
    client.close()


@pytest.fixture
def inbox(client: redis.Redis) -> Inbox:
    return Inbox(client)
