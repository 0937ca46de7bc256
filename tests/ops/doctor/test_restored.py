"""`status` and `doctor` name what was lost; `doctor --restored` closes the reports."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
import redis
import sqlalchemy as sa
from sqlalchemy import Engine

from ops import cli
from ops.doctor.examine import examine
from ops.doctor.findings import State
from ops.plans.migrate import migrate
from runtime.data_loss.check import check_data
from runtime.database.engine import engine_for
from runtime.inbox.inbox import Inbox
from runtime.inbox.recent import RecentEvents
from runtime.settings import Settings
from tests.runtime.inbox.entry_builders import event, keys_of, settled

pytestmark = pytest.mark.servers


@pytest.fixture
def environ(
    database: str, redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Mapping[str, str]:
    plans = tmp_path / "plans.toml"
    plans.write_text('[plans.premium]\nprices = ["price_1"]\n')
    found = {
        "DATABASE_URL": database,
        "REDIS_URL": redis_url,
        "STRIPE_WEBHOOK_SECRET": "whsec_" + "5f3a" * 8,
        "PAIDUP_PLANS": str(plans),
        "PAIDUP_DATA_DIR": str(tmp_path),
    }
    for name, value in found.items():
        monkeypatch.setenv(name, value)
    migrate(Settings.from_env(found))
    return found


@pytest.fixture
def engine(database: str) -> Iterator[Engine]:
    engine = engine_for(database, application_name="tests")
    yield engine
    engine.dispose()


@pytest.fixture
def client(redis_url: str) -> Iterator[redis.Redis]:
    client = redis.Redis.from_url(redis_url)
    yield client
    client.close()


def lose_settlements(engine: Engine, client: redis.Redis) -> None:
    """Leave the inbox as after two settlements that the database does not have."""
    inbox = Inbox(client)
    for number in (1, 2):
        inbox.accept(event(number))
    with engine.connect() as connection:
        epoch = str(connection.scalar(sa.text("SELECT epoch FROM database_epoch")))
    inbox.finish("owner", settled(keys_of(inbox.claim("owner")), epoch=epoch))


def lost_data(environ: Mapping[str, str]) -> list[tuple[State, str]]:
    return [(found.state, found.says) for found in examine(environ) if found.check == "lost data"]


def status(capsys: pytest.CaptureFixture[str]) -> str:
    cli.run(["status"])
    return capsys.readouterr().out


def test_without_a_report_nothing_is_lost(environ: Mapping[str, str]) -> None:
    assert lost_data(environ) == [(State.OK, "no event is known to be lost")]


def test_lost_settlements_are_named_until_they_are_back_or_closed(
    environ: Mapping[str, str],
    engine: Engine,
    client: redis.Redis,
    capsys: pytest.CaptureFixture[str],
) -> None:
    lose_settlements(engine, client)
    check_data(RecentEvents(client), engine)

    ((state, says),) = lost_data(environ)
    assert state is State.PROBLEM
    assert "2 settled events were lost, 2 are not back (evt_1, evt_2)" in says
    assert "send all events since the beginning again from Stripe" in says
    assert "evt_1, evt_2" in status(capsys)
    cli.run(["status", "--json"])
    document = json.loads(capsys.readouterr().out)["lost"]
    assert document["not_back"] == ["evt_1", "evt_2"]
    assert document["postgresql"][0]["kept_until"] is None

    cli.run(["doctor", "--restored"])

    assert "1 report of lost data closed; no settled event is missing" in capsys.readouterr().out
    ((state, says),) = lost_data(environ)
    assert state is State.PROBLEM, "the events are still missing"
    assert "older ones" not in says


def test_accepts_that_redis_lost_are_shown_before_a_worker_reported_them(
    environ: Mapping[str, str],
    engine: Engine,
    client: redis.Redis,
    capsys: pytest.CaptureFixture[str],
) -> None:
    inbox = Inbox(client)
    for number in range(3):
        inbox.accept(event(number))
    client.hset("paidup:counters", "accepted", 1)
    assert inbox.accept(event(9)).lost is not None

    assert "accepts 2 to 3 are lost" in status(capsys)
    check_data(RecentEvents(client), engine)
    assert status(capsys).count("accepts 2 to 3 are lost") == 1
    ((state, says),) = lost_data(environ)
    assert (state, "accepts 2 to 3 are lost" in says) == (State.PROBLEM, True)

    cli.run(["doctor", "--restored", "--json"])

    restored = json.loads(capsys.readouterr().out)["restored"]
    assert restored == {"reports_closed": 1, "lost": 0, "requeued": 0}
    assert lost_data(environ) == [(State.OK, "no event is known to be lost")]
    assert "are lost" not in status(capsys)


def test_restored_finds_what_no_worker_has_noticed_and_voids_the_markers(
    environ: Mapping[str, str],
    engine: Engine,
    client: redis.Redis,
    capsys: pytest.CaptureFixture[str],
) -> None:
    lose_settlements(engine, client)
    inbox = Inbox(client)
    assert inbox.accept(event(1)).status == "duplicate"

    cli.run(["doctor", "--restored"])

    assert "2 settled events are missing, 0 come back now" in capsys.readouterr().out
    assert inbox.accept(event(1)).status == "accepted"
    assert "2 are not back" in lost_data(environ)[0][1]


def test_the_audit_says_who_noted_the_restore_why_and_what_was_found(
    environ: Mapping[str, str], engine: Engine, client: redis.Redis
) -> None:
    lose_settlements(engine, client)

    cli.run(["doctor", "--restored", "--as", "ada", "--reason", "the backup of Monday"])

    with engine.connect() as connection:
        query = "SELECT * FROM audit_logs WHERE action LIKE 'restored.%' ORDER BY id"
        requested, ended = connection.execute(sa.text(query)).all()
        epoch = connection.scalar(sa.text("SELECT epoch FROM database_epoch"))
    assert (requested.action, ended.action) == ("restored.requested", "restored.ended")
    for row in (requested, ended):
        assert (row.actor, row.reason) == ("cli:ada", "the backup of Monday")
        assert (row.origin, row.outcome) == ("operator", "done")
    assert ended.after == {
        "reports_closed": 0,
        "lost": 2,
        "requeued": 0,
        "database_epoch": epoch,
    }


def test_a_doctor_that_only_looks_leaves_no_trace_in_the_audit(
    environ: Mapping[str, str], engine: Engine
) -> None:
    cli.run(["doctor", "--as", "ada", "--reason", "curious"])

    with engine.connect() as connection:
        query = "SELECT count(*) FROM audit_logs WHERE actor = 'cli:ada'"
        assert connection.scalar(sa.text(query)) == 0
