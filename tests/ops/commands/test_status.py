import json
import os
import pty
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis

from ops.up.servers.ports import free_port
from ops.up.servers.postgres_server import Postgres
from ops.up.servers.redis_server import Redis
from runtime.inbox.entries import Deferred, Parked
from runtime.inbox.fetch_lane import FetchLane
from runtime.inbox.inbox import Inbox
from runtime.inbox.service_times import BatchTime
from runtime.sizing.need import ENOUGH_BATCHES, LONGEST_AGE
from tests.ops.conftest import Paidup
from tests.ops.queries.seeded_database import SeededDatabase
from tests.pgbouncer import PgBouncer
from tests.runtime.inbox.entry_builders import event, key_of, let_time_pass, settled

pytestmark = pytest.mark.servers

NOWHERE = "127.0.0.1"


@pytest.fixture
def client(redis_url: str) -> Iterator[redis.Redis]:
    client = redis.Redis.from_url(redis_url, protocol=2)
    yield client
    client.close()


@pytest.fixture
def inbox(
    books: SeededDatabase, client: redis.Redis, redis_url: str, deployed: Callable[..., None]
) -> Inbox:
    deployed(DATABASE_URL=books.url, REDIS_URL=redis_url)
    return Inbox(client)


def seen(paidup: Paidup, *, code: int = 0) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(paidup("status", "--json", code=code))
    return document


def test_an_idle_system_is_shown_in_full(
    books: SeededDatabase, inbox: Inbox, paidup: Paidup
) -> None:
    settled = len(books.tell("onetime").events)

    document = seen(paidup)
    said = paidup("status")

    assert (document["ok"], document["unavailable"]) == (True, {})
    assert document["inbox"]["events"] == 0
    assert document["settled"]["last_minute"] == document["settled"]["last_hour"] == settled
    assert document["dead_letters"] == {"open": 0, "replayed": 0, "discarded": 0}
    assert document["catalogue_version"] == 1
    assert document["workers"]["processes_needed"] == 1
    assert "none: start `paidup worker`" in said
    assert "\x1b" not in said


def test_access_that_ends_soon_is_counted(
    books: SeededDatabase, inbox: Inbox, paidup: Paidup
) -> None:
    give = ("grants", "add", "usr_1", "--new-user", "--plan", "premium", "--reason", "tests")
    paidup(*give, "--for", "1d")
    assert "1 ends within 7 days; 0 ended within the last day" in paidup("status")

    paidup(*give, "--for", "2d")
    paidup(*give, "--for", "30d")

    assert "2 end within 7 days; 0 ended within the last day" in paidup("status")
    assert seen(paidup)["access"] == {"ending_soon": 2, "ended": 0}


def test_what_waits_is_shown_by_where_it_is(inbox: Inbox, paidup: Paidup) -> None:
    for number in range(4):
        inbox.accept(event(number, customer=f"cus_{number}"))
    inbox.accept(event(0, kind="customer.deleted"))
    inbox.announce("worker-1", 3)
    claim = inbox.claim("token", max_events=2)
    parked = Parked(key=claim.entries[0].key, delay_seconds=60, charged=True, error="no")
    inbox.park("token", [parked])

    numbers = seen(paidup)["inbox"]
    workers = seen(paidup)["workers"]

    assert [numbers[name] for name in ("events", "due", "claimed", "parked", "conflicts")] == [
        4,
        2,
        1,
        1,
        1,
    ]
    assert (workers["workers"], workers["processes"]) == (1, 3)
    said = paidup("status")
    assert "4 events, the oldest" in said
    assert "1 different events under ids already in use" in said


def test_an_open_breaker_says_why(inbox: Inbox, paidup: Paidup) -> None:
    inbox.open_breaker("PostgreSQL is away", 30)

    assert seen(paidup)["inbox"]["breaker"]["reason"] == "PostgreSQL is away"
    assert seen(paidup)["inbox"]["breaker"]["since"]
    said = paidup("status")
    assert "no event is applied: PostgreSQL is away; closes at" in said


def test_what_waits_for_stripe_s_api_is_shown_apart(inbox: Inbox, paidup: Paidup) -> None:
    assert "to be fetched" not in paidup("status")
    lane = FetchLane.beside(inbox, at_once=2)
    inbox.accept(event(1))
    inbox.claim("drainer")
    lane.defer("drainer", [Deferred(key="evt_1")])
    lane.pause("Stripe's API limits our requests", 30)

    numbers = seen(paidup)["inbox"]

    assert (numbers["due"], numbers["fetch"]["due"], numbers["by_lane"]["fetch"]) == (0, 1, 1)
    assert numbers["fetch"]["breaker"]["reason"] == "Stripe's API limits our requests"
    said = paidup("status")
    assert "1 event, by a worker with STRIPE_API_KEY" in said
    assert "Stripe's API limits our requests" in said


def test_the_processes_needed_follow_from_what_batches_took(
    client: redis.Redis, inbox: Inbox, paidup: Paidup
) -> None:
    """Let batches take 1 s per event while 600 wait, and have waited for long."""
    assert "assumed until some batches are measured" in paidup("status")
    for number in range(ENOUGH_BATCHES):
        inbox.accept(event(number))
        inbox.claim("owner")
        inbox.finish("owner", settled([key_of(number)]), BatchTime(events=1, seconds=1.0))
    for number in range(600):
        inbox.accept(event(100 + number, customer=f"cus_{number}"))
    let_time_pass(client, LONGEST_AGE)

    workers = seen(paidup)["workers"]

    assert workers["measured"]
    assert workers["events_per_second_each"] == 1
    assert workers["processes_needed"] == 600 / (LONGEST_AGE / 2)
    assert "10 (1.0/s each, measured)" in paidup("status")


def test_what_arrives_is_shown_once_it_was_noted(
    client: redis.Redis, inbox: Inbox, paidup: Paidup
) -> None:
    assert "arriving" not in paidup("status")
    inbox.accept(event(1))
    client.rpush("paidup:arrivals", f"{client.time()[0] * 1000 - 20_000} 0")

    assert "arriving 0.0" in " ".join(paidup("status").split())


def test_one_server_that_is_away_leaves_the_other_half(
    books: SeededDatabase, redis_url: str, deployed: Callable[..., None], paidup: Paidup
) -> None:
    deployed(DATABASE_URL=books.url, REDIS_URL=f"redis://{NOWHERE}:{free_port()}/0")
    document = seen(paidup, code=1)
    assert (document["inbox"], document["catalogue_version"]) == (None, 1)
    assert "Redis is unreachable" in document["unavailable"]["redis"]

    deployed(DATABASE_URL=f"postgresql://{NOWHERE}:{free_port()}/x", REDIS_URL=redis_url)
    said = paidup("status", code=1)
    assert "PostgreSQL is unreachable" in said
    assert "in the inbox" in said

    deployed(REDIS_URL=redis_url)
    assert "DATABASE_URL is not set" in seen(paidup, code=1)["unavailable"]["postgresql"]


def test_servers_that_are_frozen_are_away_within_seconds(
    own_redis: Redis, own_postgres: Postgres, deployed: Callable[..., None], paidup: Paidup
) -> None:
    deployed(DATABASE_URL=own_postgres.url, REDIS_URL=own_redis.url)
    own_redis.freeze()
    own_postgres.freeze()
    began = time.monotonic()
    try:
        away = seen(paidup, code=1)["unavailable"]
    finally:
        own_redis.thaw()
        own_postgres.thaw()

    assert time.monotonic() - began < 10
    assert set(away) == {"redis", "postgresql"}


def test_a_database_of_no_release_says_what_to_do(
    own_postgres: Postgres, redis_url: str, deployed: Callable[..., None], paidup: Paidup
) -> None:
    deployed(DATABASE_URL=own_postgres.url, REDIS_URL=redis_url)

    assert "run `paidup migrate`" in seen(paidup, code=1)["unavailable"]["postgresql"]


def test_no_server_at_all_is_one_sentence(deployed: Callable[..., None], paidup: Paidup) -> None:
    deployed()

    paidup("status", code=1)

    assert "no `paidup up` runs" in paidup.err


def test_watching_a_pipe_gives_a_document_each_time_until_ctrl_c(
    books: SeededDatabase, inbox: Inbox
) -> None:
    command = [sys.executable, "-m", "ops.cli", "status", "--watch", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as watching:
        assert watching.stdout is not None
        printed = 0
        while printed < 2:
            printed += watching.stdout.readline() == b"}\n"
        watching.send_signal(signal.SIGINT)
        _, err = watching.communicate(timeout=20)

    assert (watching.returncode, err) == (0, b"")


def test_watching_in_a_terminal_redraws_until_ctrl_c(books: SeededDatabase, inbox: Inbox) -> None:
    ours, theirs = pty.openpty()
    environ = {**os.environ, "TERM": "xterm", "COLUMNS": "100"}
    with subprocess.Popen(
        [sys.executable, "-m", "ops.cli", "status", "--watch"],
        stdout=theirs,
        stderr=theirs,
        env=environ,
    ) as watching:
        os.close(theirs)
        said = _read_twice(ours, b"in the inbox")
        watching.send_signal(signal.SIGINT)
        watching.wait(timeout=20)
    os.close(ours)

    assert watching.returncode == 0
    assert b"Traceback" not in said


def _read_twice(terminal: int, wanted: bytes) -> bytes:
    said, until = b"", time.monotonic() + 20
    while said.count(wanted) <= 1:
        assert time.monotonic() < until, said
        if select.select([terminal], [], [], 0.1)[0]:
            said += os.read(terminal, 65536)
    return said


def test_a_pooler_before_postgresql_is_shown(
    books: SeededDatabase,
    inbox: Inbox,
    paidup: Paidup,
    pooler: PgBouncer,
    deployed: Callable[..., None],
) -> None:
    assert seen(paidup)["behind_pooler"] is False
    deployed(DATABASE_URL=pooler.url_of(books.url), REDIS_URL=os.environ["REDIS_URL"])

    assert seen(paidup)["behind_pooler"] is True
    assert "through a connection pooler" in paidup("status")
