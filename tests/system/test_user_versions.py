"""A consumer that keeps the highest version of the newest epoch is right, whatever happens.

Eight writers record the same events in orders of their own, again and again. Eight readers hand
their answers to one consumer, late, out of order and repeated; two of them read because they saw a
change. In the middle people give access, the database is restored from a backup that does not know
it, and a moment later it gets another epoch, as the supervisor gives it. At each moment somebody
notes what the database says, and how long the consumer takes until it knows as much.
"""

import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import asdict
from datetime import UTC, datetime
from functools import partial
from operator import ge
from random import Random
from typing import Any, NamedTuple

import psycopg
import pytest
from psycopg import sql
from sqlalchemy import Engine, text
from sqlalchemy.exc import SQLAlchemyError

from billing.ids import EventId, Realm
from billing.statements import OperatorGrant
from ops.console.connections import hasty_engine
from ops.console.entitlements import Entitlements
from ops.samples.api_shapes import Shape
from ops.samples.lifecycles.registry import compose
from ops.up.servers.postgres_server import Postgres
from runtime.changes.feed import EntitlementChange, changes_after
from runtime.changes.numbering import number_batch
from runtime.data_loss.settlements import replace_epoch
from runtime.database.engine import engine_for
from runtime.ledger import catalogues
from runtime.ledger.deliveries import Delivery
from runtime.ledger.errors import LedgerError
from runtime.ledger.record import Ledger
from runtime.ledger.statements import NewStatement
from runtime.settings import Settings
from tests.runtime.ledger.delivery_builders import NOW, deliveries, example_plans
from tests.workers.waiting import until

pytestmark = pytest.mark.servers

WRITERS = READERS = 8
FOLLOWERS = 2
"""Readers that read when a change says so."""
RIGHT_WITHIN = 2.0
LONGEST_STEP = 0.1
"""Seconds that count of one look at the consumer; this process did not run in the others."""
GIVEN = 30
"""Grants to each user that the backup does not know: more steps than come after it."""
LIFECYCLES = ("first_paid", "renewal", "refund_full", "onetime")
USERS = [f"usr_{number}" for number in range(6)]
Answer = dict[str, Any]


class RestorableDatabase:
    """A migrated database with plans, which can go back to its backup while it is in use."""

    def __init__(self, server: Postgres, template: str) -> None:
        self._server = server
        self.url = server.create_database("versions", template=template)
        self.engine = engine_for(
            self.url, application_name="test", pool_size=WRITERS + FOLLOWERS + 4
        )
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

    def noted(self) -> "NotedVersions":
        """Return the epoch and the version of each user, in one snapshot."""
        with self.engine.connect() as connection:
            rows = connection.execute(_NOTED).all()
        return NotedVersions(rows[0].epoch, {row.user_id: row.version for row in rows})

    def features(self) -> dict[str, Any]:
        """Return what each user may do, by the view."""
        with self.engine.connect() as connection:
            rows = connection.execute(text("SELECT * FROM effective_entitlements"))
            found: dict[str, Any] = {user: {} for user in USERS}
            for row in rows:
                found[row.user_id][row.feature] = row.value
        return found


class NotedVersions(NamedTuple):
    """The epoch and the versions that the database had at one moment."""

    epoch: str
    versions: Mapping[str, int]


_NOTED = text(
    "SELECT epoch, user_id, coalesce(version, 0) AS version FROM database_epoch"
    " LEFT JOIN user_versions ON true"
)


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

    def hear(self, change: EntitlementChange) -> None:
        """Read a user of whom a change says more than is known, and check that it was true."""
        with self._lock:
            known = self.kept.get(change.user_id, {"version": 0})["version"]
            if change.epoch == self.epoch and known >= (change.version or 0):
                return
        answer = self._read(change.user_id)
        with self._lock:
            if answer["epoch"] == change.epoch != self.voided:
                late = [(answer, asdict(change))]
                self.contradictions += late * (answer["version"] < (change.version or 0))
        self.take(answer)

    def knows(self, noted: NotedVersions) -> bool:
        """Return True if what is kept is not older than what the database said."""
        with self._lock:
            if noted.epoch != self.epoch:
                return noted.epoch in self.epochs
            kept = {user: answer["version"] for user, answer in self.kept.items()}
            return all(kept.get(user, 0) >= version for user, version in noted.versions.items())

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

    def __init__(
        self, database: RestorableDatabase, read: Callable[[str], Answer], consumer: Consumer
    ) -> None:
        self._database = database
        self._engine = database.engine
        self._read = read
        self._consumer = consumer
        self._stopped = threading.Event()
        self.passes = [0] * WRITERS
        """How often each writer has delivered every event."""
        self.waited: list[float] = []
        """How long the consumer took each time until it knew what the database had said."""
        self.restoring = threading.Event()

    @contextmanager
    def running(self, events: Sequence[Delivery]) -> Iterator["WritersAndReaders"]:
        with ThreadPoolExecutor(WRITERS + READERS + 2) as pool:
            threads = [pool.submit(self._write, number, events) for number in range(WRITERS)]
            threads += [pool.submit(self._follow) for _ in range(FOLLOWERS)]
            readers = range(FOLLOWERS, READERS)
            threads += [pool.submit(self._hand_over, number) for number in readers]
            threads += [pool.submit(self._number), pool.submit(self._watch)]
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

    def _follow(self) -> None:
        """Read the changes one after the other, from the first one on in each epoch."""
        cursor, epoch = 0, ""
        while not self._stopped.is_set():
            try:
                with self._engine.connect() as connection:
                    changes = changes_after(connection, cursor, limit=20)
                for change in changes:
                    if change.epoch != epoch:
                        cursor, epoch = 0, change.epoch
                        break
                    cursor = change.cursor
                    self._consumer.hear(change)
            except SQLAlchemyError:
                continue  # the database is closed for a moment

    def _number(self) -> None:
        """Publish the changes, as the supervisor does."""
        while not self._stopped.wait(0.02):
            with suppress(SQLAlchemyError):
                number_batch(self._engine)

    def _watch(self) -> None:
        """Note what the database says, and how long the consumer takes to know as much."""
        while not self._stopped.wait(0.02):
            with suppress(SQLAlchemyError):
                noted, seconds = self._database.noted(), 0.0
                while not (self._consumer.knows(noted) or self._stopped.is_set()):
                    if self.restoring.is_set():  # what was noted is gone
                        break
                    looked = time.monotonic()
                    time.sleep(0.005)
                    seconds += min(time.monotonic() - looked, LONGEST_STEP)
                else:
                    self.waited.append(seconds)


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


def give_what_the_backup_does_not_know(engine: Engine) -> None:
    """Give each user more devices than any plan does, in many steps."""
    ledger = Ledger(engine, livemode="any", accounts=frozenset())
    for user in USERS:
        grants = [
            NewStatement(
                id=EventId(f"op_{user}_{number}"),
                subject=OperatorGrant(
                    id=f"grant_{user}_{number}",
                    user_id=user,
                    plan_code=None,
                    features=(("max_devices", 900 + number),),
                    starts_at=datetime.fromtimestamp(NOW, UTC),
                    until=None,
                ),
                actor="cli:ada",
                reason="the outage in May",
            )
            for number in range(GIVEN)
        ]
        ledger.transact(partial(ledger.state, new=grants))


def test_the_highest_version_of_the_newest_epoch_is_right(restorable: RestorableDatabase) -> None:
    events = every_event()
    with reading(restorable.url, connections=READERS + 2) as read:
        consumer = Consumer(read)
        with WritersAndReaders(restorable, read, consumer).running(events) as traffic:
            until(lambda: restorable.settled() >= len(events) // 3)
            restorable.back_up()
            until(lambda: restorable.settled() == len(events))
            give_what_the_backup_does_not_know(restorable.engine)
            lost = restorable.features()
            until(lambda: consumer.features() == lost, why="the consumer knows what will be lost")
            highest = restorable.noted().versions
            consumer.voided = consumer.epoch
            traffic.restoring.set()
            restorable.restore()
            with restorable.engine.begin() as connection:
                epoch = replace_epoch(connection)
            traffic.restoring.clear()
            enough = [passes + 2 for passes in traffic.passes]
            until(lambda: all(map(ge, traffic.passes, enough)), why="all was delivered again")

            truth = restorable.features()
            until(lambda: consumer.features() == truth, why="the consumer is right again")

    assert (consumer.epoch, len(consumer.epochs)) == (epoch, 2)
    assert consumer.contradictions == []
    assert all(truth[user] != lost[user] for user in USERS)
    assert all(version < highest[user] for user, version in restorable.noted().versions.items())
    assert len(traffic.waited) > 50
    assert max(traffic.waited) < RIGHT_WITHIN
