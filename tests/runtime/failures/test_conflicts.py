"""Conflicts on their way from the inbox to the dead letters."""

from collections.abc import Iterator, Sequence

import pytest
import redis
import sqlalchemy as sa
from sqlalchemy.engine import Engine

from billing.envelope import Envelope
from models.tables import DeadLetter
from runtime.database.engine import engine_for
from runtime.failures.conflicts import dead_letter_conflicts
from runtime.inbox.inbox import Inbox
from tests.runtime.inbox.entry_builders import claim_and_finish_all, event

pytestmark = pytest.mark.servers

DELETED = "customer.subscription.deleted"


class KilledBetweenSteps(Exception):
    """The process ends here."""


class DiesBeforeForgetting(Inbox):
    def forget_conflicts(self, keys: Sequence[str]) -> int:
        raise KilledBetweenSteps(keys)


@pytest.fixture
def engine(database: str) -> Iterator[Engine]:
    engine = engine_for(database, application_name="tests")
    yield engine
    engine.dispose()


@pytest.fixture
def client(redis_url: str) -> Iterator[redis.Redis]:
    client = redis.Redis.from_url(redis_url, protocol=2)
    yield client
    client.close()


def conflicting(inbox: Inbox) -> tuple[str, Envelope]:
    """Store a second event under the id of one that waits, and return its key."""
    inbox.accept(event(1))
    second = event(1, kind=DELETED)
    inbox.accept(second)
    return f"evt_1#{second.fingerprint}", second


def letters(engine: Engine) -> list[tuple[str, str, int]]:
    query = sa.select(
        DeadLetter.event_id, DeadLetter.payload, sa.func.jsonb_array_length(DeadLetter.history)
    )
    with engine.connect() as connection:
        return [(key, payload, number) for key, payload, number in connection.execute(query)]


def test_a_conflict_becomes_a_dead_letter_and_the_first_event_is_left_alone(
    engine: Engine, client: redis.Redis
) -> None:
    inbox = Inbox(client)
    key, second = conflicting(inbox)

    assert dead_letter_conflicts(inbox, engine) == [key]

    assert letters(engine) == [(key, second.body.decode(), 0)]
    assert inbox.conflicts() == []
    assert [peeked.state for peeked in inbox.peek(["evt_1", key])] == ["waiting", "absent"]
    assert dead_letter_conflicts(inbox, engine) == []


def test_a_crash_in_between_leaves_it_in_both_places(engine: Engine, client: redis.Redis) -> None:
    inbox = Inbox(client)
    key, second = conflicting(inbox)

    with pytest.raises(KilledBetweenSteps):
        dead_letter_conflicts(DiesBeforeForgetting(client), engine)

    assert inbox.conflicts() == [key]
    assert letters(engine) == [(key, second.body.decode(), 0)]
    dead_letter_conflicts(inbox, engine)
    assert inbox.conflicts() == []
    assert [key for key, *_ in letters(engine)] == [key]


def test_one_that_is_replayed_at_that_moment_stays_in_the_inbox(
    engine: Engine, client: redis.Redis
) -> None:
    inbox = Inbox(client)
    key, second = conflicting(inbox)
    inbox.requeue(second, key=key, extra={"actor": "cli:ada"})

    dead_letter_conflicts(inbox, engine)

    assert inbox.conflicts() == []
    (peeked,) = inbox.peek([key])
    assert (peeked.state, peeked.body) == ("waiting", second.body)
    assert inbox.accept(second).status == "conflict"
    assert inbox.peek([key])[0].header["extra"] == {"actor": "cli:ada"}
    assert sorted(claim_and_finish_all(inbox)) == ["evt_1", key]
