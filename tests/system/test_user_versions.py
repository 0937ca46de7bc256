"""A consumer that keeps the highest version of the newest epoch is right, whatever happens.

Eight writers record the same events in orders of their own, again and again. Eight readers hand
their answers to one consumer, late, out of order and repeated. In the middle the database is
restored from a backup, and a moment later it gets another epoch, as the supervisor gives it.
"""

import json
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from operator import ge
from random import Random
from typing import Any

import psycopg
import pytest
from psycopg import sql
from sqlalchemy import Engine, text
from sqlalchemy.exc import SQLAlchemyError

from billing.ids import Realm
from ops.console.connections import hasty_engine
from ops.console.entitlements import Entitlements
from ops.samples.api_shapes import Shape
from ops.samples.lifecycles.registry import compose
from ops.up.servers.postgres_server import Postgres
from runtime.data_loss.settlements import replace_epoch
from runtime.database.engine import engine_for
from runtime.ledger import catalogues
from runtime.ledger.deliveries import Delivery
from runtime.ledger.errors import LedgerError
from runtime.ledger.record import Ledger
from runtime.settings import Settings
from tests.runtime.ledger.delivery_builders import NOW, deliveries, example_plans
from tests.workers.waiting import until

pytestmark = pytest.mark.servers

WRITERS = READERS = 8
LIFECYCLES = ("first_paid", "renewal", "refund_full", "onetime")
USERS = [f"usr_{number}" for number in range(6)]
Answer = dict[str, Any]


class RestorableDatabase:
    """A migrated database with plans, which can go back to its backup while it is in use."""

    def __init__(self, server: Postgres, template: str) -> None:
        self._server = server
        self.url = server.create_database("versions", template=template)
        self.engine = engine_for(self.url, application_name="test", pool_size=WRITERS + 2)
        catalogues.install_first(self.engine, example_plans(), actor="test", reason="test")

    def back_up(self) -> None:
        with self._closed() as admin:
            admin.execute("CREATE DATABASE versions_backup TEMPLATE versions")

    def restore(self) -> None:
        with self._closed() as admin:
            admin.execute("ALTER DATABASE versions RENAME TO versions_lost")
        self._server.create_database("versions", template="versions_backup")

    @contextmanager
    def _closed(self) -> Iterator["psycopg.Connection[Any]"]:
        """Let nobody in meanwhile: the copy of a database needs it for itself."""
        with psycopg.connect(self._server.admin_url, autocommit=True) as admin:
            admin.execute("ALTER DATABASE versions ALLOW_CONNECTIONS false")
            ended = "SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity"
            admin.execute(f"{ended} WHERE datname = 'versions'")
            yield admin
            for name in ("versions", "versions_lost"):
                if admin.execute("SELECT FROM pg_database WHERE datname = %s", [name]).rowcount:
                    reopen = sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS true")
                    admin.execute(reopen.format(sql.Identifier(name)))

    def drop(self) -> None:
        self.engine.dispose()
        for name in ("versions", "versions_backup", "versions_lost"):
            self._server.drop_database(name)

    def settled(self) -> int:
        with self.engine.connect() as connection:
            return int(connection.scalar(text("SELECT count(*) FROM stripe_events")) or 0)


@pytest.fixture
def restorable(postgres_server: Postgres, database_template: str) -> Iterator[RestorableDatabase]:
    database = RestorableDatabase(postgres_server, database_template)
    yield database
    database.drop()


class Consumer:
    """Keeps answers by the rule of docs/integration.md, from any thread, in any order."""

    def __init__(self, read: Callable[[str], Answer]) -> None:
        self._read = read
        self._lock = threading.Lock()
        self.epoch = ""
        self.voided = ""
        """The epoch whose versions may name other rows since a restore."""
        self.kept: dict[str, Answer] = {}
        self.epochs: list[str] = []
        self.contradictions: list[tuple[Answer, Answer]] = []

    def take(self, answer: Answer) -> None:
        """Take an answer; one of another epoch only says that it is time to read again."""
        with self._lock:
            if answer["epoch"] != self.epoch:
                answer = self._read(answer["user_id"])
            if answer["epoch"] != self.epoch:
                self.epoch = answer["epoch"]
                self.epochs.append(self.epoch)
                self.kept.clear()
            known = self.kept.setdefault(answer["user_id"], answer)
            if known["version"] == answer["version"] and rows_in(known) != rows_in(answer):
                self.contradictions += [(known, answer)] * (self.epoch != self.voided)
            if known["version"] <= answer["version"]:
                self.kept[answer["user_id"]] = answer

    def features(self) -> dict[str, Any]:
        with self._lock:
            return {user: answer["features"] for user, answer in self.kept.items()}


def rows_in(answer: Answer) -> str:
    return json.dumps(answer["grants"], sort_keys=True)


@contextmanager
def reading(url: str, *, connections: int) -> Iterator[Callable[[str], Answer]]:
    settings = Settings.from_env({"DATABASE_URL": url})
    engine = hasty_engine(settings, application_name="reader", pool_size=connections)
    entitlements = Entitlements(engine, [Realm("test")])
    try:
        yield lambda user: json.loads(entitlements.of_user(user).body)
    finally:
        engine.dispose()


class WritersAndReaders:
    """Writers and readers in threads of their own, until they are stopped."""

    def __init__(self, engine: Engine, read: Callable[[str], Answer], consumer: Consumer) -> None:
        self._engine = engine
        self._read = read
        self._consumer = consumer
        self._stopped = threading.Event()
        self.passes = [0] * WRITERS
        """How often each writer has delivered every event."""

    @contextmanager
    def running(self, events: Sequence[Delivery]) -> Iterator["WritersAndReaders"]:
        with ThreadPoolExecutor(WRITERS + READERS) as pool:
            threads = [pool.submit(self._write, number, events) for number in range(WRITERS)]
            threads += [pool.submit(self._hand_over, number) for number in range(READERS)]
            try:
                yield self
            finally:
                self._stopped.set()
            _raise_first(threads)

    def _write(self, number: int, events: Sequence[Delivery]) -> None:
        chance = Random(f"writer {number}")  # noqa: S311 - a test that can be repeated
        ledger = Ledger(self._engine, livemode="any", accounts=frozenset())
        while not self._stopped.is_set():
            hand = [*events, *chance.sample(events, len(events) // 3)]
            chance.shuffle(hand)
            while hand and not self._stopped.is_set():
                size = chance.randint(1, 7)
                try:
                    ledger.record(hand[:size])
                except (SQLAlchemyError, LedgerError):
                    continue  # a delivery is repeated until it is settled
                del hand[:size]
            self.passes[number] += 1

    def _hand_over(self, number: int) -> None:
        chance = Random(f"reader {number}")  # noqa: S311 - a test that can be repeated
        under_way: list[Answer] = []
        while not self._stopped.is_set():
            try:
                under_way.append(self._read(chance.choice(USERS)))
                if len(under_way) > chance.randint(0, 5):
                    self._consumer.take(chance.choice(under_way))
                    under_way.pop(chance.randrange(len(under_way)))
            except SQLAlchemyError:
                continue  # the database is closed for a moment


def _raise_first(threads: Sequence[Future[None]]) -> None:
    for each in threads:
        each.result()


def every_event() -> list[Delivery]:
    """Return lifecycles of six users, each with three customers."""
    return [
        each
        for user in USERS
        for number, name in enumerate(LIFECYCLES)
        for each in deliveries(
            compose(name, shape=Shape.NEW, seed=f"{user}{number}", now=NOW, user_id=user)
        )
    ]


def test_the_highest_version_of_the_newest_epoch_is_right(restorable: RestorableDatabase) -> None:
    events = every_event()
    with reading(restorable.url, connections=READERS + 2) as read:
        consumer = Consumer(read)
        with WritersAndReaders(restorable.engine, read, consumer).running(events) as traffic:
            until(lambda: restorable.settled() >= len(events) // 3)
            restorable.back_up()
            until(lambda: restorable.settled() == len(events))
            until(lambda: len(consumer.kept) == len(USERS))
            consumer.voided = consumer.epoch
            restorable.restore()
            with restorable.engine.begin() as connection:
                epoch = replace_epoch(connection)
            enough = [passes + 2 for passes in traffic.passes]
            until(lambda: all(map(ge, traffic.passes, enough)), why="all was delivered again")

            truth = {user: read(user)["features"] for user in USERS}
            until(lambda: consumer.features() == truth, why="the consumer is right again")

    assert (consumer.epoch, len(consumer.epochs)) == (epoch, 2)
    assert consumer.contradictions == []
    assert any(truth.values())
