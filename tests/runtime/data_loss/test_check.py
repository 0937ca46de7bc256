"""Both servers are asked for what the other one remembers; each loss is reported once."""

from collections.abc import Iterator, Sequence

import pytest
import redis
import sqlalchemy as sa
from sqlalchemy import Engine

from runtime.data_loss.check import Checked, check_data
from runtime.data_loss.reports import (
    Losses,
    close_reports,
    count_missing,
    count_open_settlements,
    read_losses,
)
from runtime.data_loss.settlements import ReadOnlyDatabase
from runtime.database.engine import engine_for
from runtime.inbox.inbox import Inbox
from runtime.inbox.recent import RecentEvents
from runtime.inbox.replicas import TooFewReplicas
from tests.runtime.inbox.entry_builders import Client, event, forget_times, keys_of, settled

pytestmark = pytest.mark.servers


class Deployment:
    """A database and an inbox whose events are settled by hand."""

    def __init__(self, engine: Engine, client: Client) -> None:
        self.engine = engine
        self.client = client
        self.inbox = Inbox(client)
        self.recent = RecentEvents(client)

    def settle(self, numbers: Sequence[int]) -> None:
        """Accept events, insert their rows and finish them, with the rows' numbers."""
        for number in numbers:
            self.inbox.accept(event(number, customer=f"cus_{number}"))
        while (claim := self.inbox.claim("owner")).entries:
            for key in keys_of(claim):
                # What left in the same millisecond as a lost event is brought back with it.
                forget_times(self.client, older_by_seconds=1)
                self.inbox.finish("owner", settled([key], first=self.insert(key), epoch=self.epoch))

    def insert(self, key: str) -> int:
        with self.engine.begin() as connection:
            return int(connection.execute(_INSERT, {"id": key}).scalar_one())

    def lose(self, *keys: str) -> None:
        with self.engine.begin() as connection:
            query = sa.text("DELETE FROM stripe_events WHERE id = ANY(:ids)")
            connection.execute(query, {"ids": list(keys)})

    @property
    def epoch(self) -> str:
        with self.engine.connect() as connection:
            return str(connection.scalar(sa.text("SELECT epoch FROM database_epoch")))

    @property
    def losses(self) -> Losses:
        with self.engine.connect() as connection:
            return read_losses(connection)

    def check(self, *, restored: bool = False) -> Checked:
        return check_data(self.recent, self.engine, restored=restored)


_INSERT = sa.text(
    "INSERT INTO stripe_events (id, type, livemode, created_at, received_at, outcome, attempts,"
    " payload, payload_sha256, realm, fingerprint, origin) VALUES (:id, 'x', false, now(), now(),"
    " 'applied', 1, '{}', '', 'test', '', 'stripe') RETURNING settlement"
)


@pytest.fixture
def deployment(database: str, redis_url: str) -> Iterator[Deployment]:
    engine = engine_for(database, application_name="tests")
    client = redis.Redis.from_url(redis_url)
    yield Deployment(engine, client)
    client.close()
    engine.dispose()


def test_where_nothing_is_lost_nothing_changes(deployment: Deployment) -> None:
    before = deployment.epoch
    deployment.check()
    deployment.settle([1, 2])

    checked = deployment.check()

    assert checked == Checked(database_epoch=before)
    assert deployment.losses == Losses()
    assert deployment.inbox.accept(event(1)).status == "duplicate"


def test_one_lost_settlement_is_found_among_others_whatever_numbers_follow(
    deployment: Deployment,
) -> None:
    deployment.check()
    deployment.settle([1, 2, 3])
    deployment.lose("evt_2")
    deployment.settle([4])
    before = deployment.epoch

    checked = deployment.check()

    assert checked.lost is not None
    assert [each.event_id for each in checked.lost.settlements] == ["evt_2"]
    assert checked.lost.complete
    assert checked.database_epoch == deployment.epoch != before
    assert [loss.still_missing for loss in deployment.losses.database] == [("evt_2",)]
    assert deployment.inbox.accept(event(1)).status == "accepted", "its marker is void"
    again = deployment.inbox.claim("owner")
    assert set(keys_of(again)) == {"evt_1", "evt_2", "evt_3", "evt_4"}, "from the lost one on"


def test_it_is_reported_once_and_over_when_the_event_is_back(deployment: Deployment) -> None:
    deployment.settle([1, 2])
    deployment.lose("evt_2")

    assert deployment.check().lost is not None
    assert deployment.check().lost is None
    deployment.insert("evt_2")

    assert deployment.losses == Losses()


def test_a_check_that_broke_off_is_repeated_without_a_second_report(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    deployment.settle([1, 2])
    deployment.lose("evt_2")

    def break_off(*_: object) -> None:
        raise redis.ConnectionError

    with monkeypatch.context() as patched:
        patched.setattr(RecentEvents, "forget", break_off)
        with pytest.raises(redis.ConnectionError):
            deployment.check()

    checked = deployment.check()
    assert checked.lost is not None
    assert len(deployment.losses.database) == 1
    assert deployment.check().lost is None


def test_a_check_that_broke_off_before_the_bodies_came_back_brings_them_back_later(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    deployment.check()  # from now on bodies are kept
    deployment.settle([1, 2])
    deployment.lose("evt_2")

    def break_off(*_: object) -> None:
        raise redis.ConnectionError

    with monkeypatch.context() as patched:
        patched.setattr(RecentEvents, "requeue_recent", break_off)
        with pytest.raises(redis.ConnectionError):
            deployment.check()

    assert deployment.check().requeued == 1
    assert keys_of(deployment.inbox.claim("owner")) == ["evt_2"]


def test_an_event_that_was_settled_again_under_another_number_was_lost(
    deployment: Deployment,
) -> None:
    deployment.settle([1, 2])
    deployment.lose("evt_2")
    deployment.insert("evt_2")

    checked = deployment.check()

    assert checked.lost is not None
    assert deployment.losses == Losses(), "and it is back"


def test_where_all_are_lost_there_may_be_more(deployment: Deployment) -> None:
    deployment.settle([1, 2])
    deployment.lose("evt_1", "evt_2")
    deployment.check()
    deployment.insert("evt_1")
    deployment.insert("evt_2")

    (loss,) = deployment.losses.database
    assert (loss.complete, loss.still_missing, loss.kept_until) == (False, (), None)
    with deployment.engine.begin() as connection:
        assert (count_missing(connection), count_open_settlements(connection)) == (0, 1)
        assert close_reports(connection) == 1
        assert count_open_settlements(connection) == 0
    assert deployment.losses == Losses()


def test_bodies_give_way_to_waiting_events_while_the_database_is_away(
    deployment: Deployment,
) -> None:
    deployment.check()  # from now on bodies are kept
    deployment.settle([1])
    away = engine_for("postgresql://127.0.0.1:1/none", application_name="test")
    used = deployment.client.info("memory")["used_memory"]
    before = deployment.client.config_get("maxmemory")["maxmemory"]
    deployment.client.config_set("maxmemory", used + 1_000_000)
    try:
        with pytest.raises(sa.exc.OperationalError):
            check_data(deployment.recent, away)
    finally:
        deployment.client.config_set("maxmemory", before)

    assert deployment.client.hlen("paidup:event:body") == 0
    assert deployment.client.llen("paidup:settled") == 1


def test_a_loss_of_many_is_reported_in_calls_that_each_meet_their_deadline(
    deployment: Deployment,
) -> None:
    sizes = list[int]()
    sa.event.listen(
        deployment.engine,
        "before_cursor_execute",
        lambda *call: sizes.append(len(call[3]) if call[5] else 1),
    )
    for number in range(0, 10_001, 1000):
        entries = [f"0 {n} evt_{n}" for n in range(number, min(number + 1000, 10_001))]
        deployment.client.rpush("paidup:settled", *entries)

    checked = deployment.check()

    assert checked.lost is not None
    assert len(checked.lost.settlements) == 10_001
    assert max(sizes) <= 5000


def test_a_read_only_session_decides_nothing(deployment: Deployment) -> None:
    deployment.settle([1])
    deployment.lose("evt_1")
    read_only = deployment.engine.execution_options(postgresql_readonly=True)

    with pytest.raises(ReadOnlyDatabase):
        check_data(deployment.recent, read_only)

    assert deployment.losses == Losses()
    assert deployment.check().lost is not None


def test_a_redis_that_counts_less_than_the_database_remembers_is_reported_once(
    deployment: Deployment,
) -> None:
    for number in range(5):
        deployment.inbox.accept(event(number))
    deployment.check()
    deployment.client.hset("paidup:counters", "accepted", 3)

    (loss,) = deployment.check().lost_accepts

    assert (loss.first, loss.last) == (4, 5)
    assert deployment.losses.accepts == (loss,)
    assert deployment.check().lost_accepts == ()
    assert deployment.check().lost_accepts == ()


def test_an_accept_that_replicas_never_had_was_not_acknowledged_and_is_no_loss(
    deployment: Deployment,
) -> None:
    recent = RecentEvents(deployment.client, replicas=1)
    with pytest.raises(TooFewReplicas):
        Inbox(deployment.client, replicas=1).accept(event(1))
    check_data(recent, deployment.engine)
    deployment.client.hset("paidup:counters", "accepted", 0)  # as on the replica

    assert check_data(recent, deployment.engine).lost_accepts == ()


def test_a_loss_that_a_process_of_ingest_noticed_is_reported_and_grows(
    deployment: Deployment,
) -> None:
    other = Inbox(deployment.client)
    for number in range(5):
        deployment.inbox.accept(event(number))
    deployment.check()
    other.accept(event(5))
    deployment.client.flushall()
    assert deployment.inbox.accept(event(6)).lost is not None

    (loss,) = deployment.check().lost_accepts
    other.accept(event(7))

    assert deployment.check().lost_accepts == ()
    assert [(each.first, each.last) for each in deployment.losses.accepts] == [(loss.first, 6)]


def test_a_closed_loss_is_not_reported_again(deployment: Deployment) -> None:
    deployment.inbox.accept(event(1))
    deployment.check()
    deployment.client.flushall()
    assert len(deployment.check().lost_accepts) == 1
    with deployment.engine.begin() as connection:
        close_reports(connection)
    deployment.recent.close_losses()

    assert deployment.check().lost_accepts == ()
    assert deployment.losses == Losses()


def test_a_new_database_beside_an_older_redis_is_no_loss_of_redis(deployment: Deployment) -> None:
    deployment.inbox.accept(event(1))

    assert deployment.check().lost_accepts == ()


def test_restored_voids_the_markers_though_nothing_is_missing(deployment: Deployment) -> None:
    deployment.settle([1])
    before = deployment.epoch

    checked = deployment.check(restored=True)

    assert checked.lost is None
    assert deployment.epoch != before
    assert deployment.inbox.accept(event(1)).status == "accepted"
    assert deployment.check() == Checked(database_epoch=checked.database_epoch)


def test_an_epoch_that_another_program_replaced_is_copied(deployment: Deployment) -> None:
    deployment.settle([1])
    with deployment.engine.begin() as connection:
        connection.execute(sa.text("UPDATE database_epoch SET epoch = 'by hand'"))
    deployment.check()

    assert deployment.inbox.accept(event(1)).status == "accepted"


def test_a_row_that_is_gone_is_made_again(deployment: Deployment) -> None:
    with deployment.engine.begin() as connection:
        connection.execute(sa.text("DELETE FROM database_epoch"))

    assert deployment.check().database_epoch == deployment.epoch
