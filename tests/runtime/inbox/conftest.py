from collections.abc import Iterator

import pytest
import redis

from runtime.inbox.inbox import Inbox
from tests.runtime.inbox.entry_builders import Client


@pytest.fixture
def client(redis_url: str) -> Iterator[Client]:
    """Connect to an empty Redis."""
    client = redis.Redis.from_url(redis_url, protocol=2)
    yield client
    client.close()


@pytest.fixture
def inbox(client: Client) -> Inbox:
    return Inbox(client)
