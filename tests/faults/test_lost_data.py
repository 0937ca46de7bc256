"""PostgreSQL or Redis goes back in time: what is lost is named, and comes back where it can."""

import json
import os
import shutil
import time
import urllib.request
from collections.abc import Iterator
from contextlib import closing, contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import redis
import sqlalchemy as sa

from ops.up.servers.postgres_server import Postgres
from ops.up.servers.redis_server import Redis
from runtime.data_loss.reports import Losses, read_losses
from runtime.inbox.recent import RecentEvents
from tests.faults.fault_env import (
    FaultSite,
    FaultyIngest,
    Stripe,
    ingesting,
    metrics_url,
    trickle,
    workers,
)
from tests.faults.purchases import event_id, purchases
from tests.postgres_pair import PostgresPair
from tests.redis_failover import redis_pair, url_through
from tests.relay import Relay
from tests.workers.waiting import until

pytestmark = pytest.mark.servers

FULL = bool(os.environ.get("PAIDUP_TEST_FULL"))
DATABASE_WENT_BACK = "the database went back in time"
REDIS_WENT_BACK = "Redis went back in time"


def losses(site: FaultSite) -> Losses:
    with site.engine.connect() as connection:
        return read_losses(connection)


def said(site: FaultSite, words: str) -> list[dict[str, object]]:
    lines = site.log.read_text(errors="replace").splitlines() if site.log.exists() else []
    found = (json.loads(line) for line in lines if words in line and line.startswith("{"))
    return [line for line in found if str(line["event"]).startswith(words)]


def named_in_log(site: FaultSite) -> set[str]:
    return {str(each) for line in said(site, DATABASE_WENT_BACK) for each in line["event_ids"]}  # type: ignore[attr-defined]


def reported(site: FaultSite) -> set[str]:
    """Return the ids of all settlements that were ever reported as lost."""
    with site.engine.connect() as connection:
        return set(connection.scalars(sa.text("SELECT event_id FROM lost_settlements")))


def epoch(site: FaultSite) -> str:
    with site.engine.connect() as connection:
        return str(connection.scalar(sa.text("SELECT epoch FROM database_epoch")))


def valid_markers(site: FaultSite) -> int:
    """Return how many done markers still answer duplicates."""
    client: Any = site.redis
    copy = client.get("paidup:database:epoch").decode()
    markers = [client.get(key) for key in client.scan_iter("paidup:done:*", count=1000)]
    return sum(json.loads(marker)["epoch"] == copy for marker in markers if marker)


def until_watched(site: FaultSite) -> None:
    """Wait until a supervisor has compared both servers after the last accept and settlement."""

    def is_remembered() -> bool:
        survey = RecentEvents(site.redis).survey()
        with site.engine.connect() as connection:
            row = connection.execute(sa.text("SELECT * FROM database_epoch")).one()
        confirmed = float(site.redis.hget("paidup:settled:state", "confirmed") or 0)
        last = survey.newest[-1].left_at.timestamp() * 1000 if survey.newest else 0
        known = (row.inbox_epoch, row.newest_accept) == (survey.inbox_epoch, survey.newest_accept)
        return known and confirmed > last

    until(is_remembered, seconds=30, why=f"the data is watched; see {site.log}")


def lose_what_the_standby_lacks(
    site: FaultSite, pair: PostgresPair, *, before: range, lost: range
) -> set[str]:
    """Fail over to a standby that lacks the settlements of ``lost``; return their ids."""
    site.take(before)
    site.until_drained()
    until_watched(site)
    pair.let_standby_catch_up()
    pair.cut_standby_off()
    ids = set(site.take(lost))
    site.until_drained()
    assert site.is_settled(ids)
    site.engine.dispose()
    pair.fail_over()
    return ids


@pytest.mark.parametrize("number", [10, 1])
def test_settlements_that_a_promoted_standby_lacks_are_named_and_come_back(
    site_with_asynchronous_pair: FaultSite, asynchronous_pair: PostgresPair, number: int
) -> None:
    site = site_with_asynchronous_pair
    with workers(site) as worker:
        worker.until_ready()
        before = epoch(site)
        ids = lose_what_the_standby_lacks(
            site, asynchronous_pair, before=range(20), lost=range(20, 20 + number)
        )
        until(lambda: named_in_log(site) >= ids, seconds=60, why=f"named; see {site.log}")
        until(lambda: site.is_settled(ids), seconds=60, why="the lost events came back")
        site.check_result()

    assert reported(site) == named_in_log(site) == ids
    assert epoch(site) != before
    assert losses(site) == Losses(), "all are back"
    with site.engine.connect() as connection:
        highest = connection.scalar(sa.text("SELECT max(settlement) FROM stripe_events"))
    assert highest > 20 + number, "the sequence of the promoted standby jumped ahead"


def test_what_a_standby_lacks_that_was_cut_off_for_two_seconds_comes_back(
    site_with_asynchronous_pair: FaultSite, asynchronous_pair: PostgresPair
) -> None:
    site, pair = site_with_asynchronous_pair, asynchronous_pair
    with workers(site) as worker:
        worker.until_ready()
        site.take(range(20))
        site.until_drained()
        until_watched(site)
        pair.let_standby_catch_up()
        pair.cut_standby_off()
        cut_at = time.monotonic()
        with trickle(site, rate=40, names=lambda number: f"cut{number}") as tried:
            until(lambda: time.monotonic() - cut_at >= 2, why="two seconds")
        site.until_drained()
        assert site.is_settled(tried)
        site.engine.dispose()
        pair.fail_over()
        until(lambda: named_in_log(site) >= set(tried), seconds=60, why=f"named; see {site.log}")
        until(lambda: site.is_settled(tried), seconds=60, why="the lost events came back")
        site.check_result()

    assert reported(site) == set(tried)


def test_t29_a_restored_backup_is_noticed_without_any_traffic_and_no_stale_marker_answers(
    site: FaultSite, postgres_server: Postgres
) -> None:
    lost = [event_id(number) for number in range(20, 50)]
    with backup_restored_after(site, postgres_server, first=range(20), then=range(20, 50)):
        # As after a day: their bodies are not kept any more.
        _forget_bodies(site)
        assert {site.inbox.accept(each).status for each in purchases([20])} == {"duplicate"}
    with workers(site):
        until(lambda: named_in_log(site) >= set(lost), seconds=60, why=f"named; see {site.log}")
        (loss,) = losses(site).database
        assert (loss.still_missing, loss.complete) == (tuple(sorted(lost)), True)
        assert valid_markers(site) == 0
        assert {site.inbox.accept(each).status for each in purchases([20])} == {"accepted"}
        site.take(range(50))
        site.check_result()

    assert losses(site) == Losses()


@contextmanager
def backup_restored_after(
    site: FaultSite, server: Postgres, *, first: range, then: range
) -> Iterator[None]:
    """Settle, back up, settle more, restore; no worker runs in the block."""
    database = site.database_url.rpartition("/")[2]
    with workers(site):
        site.take(first)
        site.until_drained()
        until_watched(site)
    _copy(site, server, database, "backup")
    with workers(site):
        site.take(then)
        site.until_drained()
        until_watched(site)
    server.drop_database(database)
    _copy(site, server, "backup", database)
    server.drop_database("backup")
    yield


def _copy(site: FaultSite, server: Postgres, source: str, target: str) -> None:
    site.engine.dispose()
    server.create_database(target, template=source)


def _forget_bodies(site: FaultSite) -> None:
    site.redis.delete("paidup:settled:bodies", "paidup:event:body", "paidup:event:meta")


def test_accepts_that_redis_lost_are_noticed_by_the_next_accept(
    site_with_own_redis: FaultSite, own_redis: Redis, tmp_path: Path
) -> None:
    """Lose the last 50 accepts: Redis restarts with a copy of its file made before them."""
    site = site_with_own_redis
    with ingesting(site) as ingest:
        client = ingest.client()
        for number in range(20):
            ingest.deliver(number, client=client)
        # No worker runs, as if all were lost within the half second between two comparisons.
        copy = copy_of(own_redis, tmp_path)
        for number in range(20, 70):
            assert ingest.deliver(number, client=client).taken
        client.close()
        go_back(own_redis, copy)
        until(lambda: ingest.ready, seconds=30, why="ingest is ready")
        assert ingest.deliver("next").taken

        (known,) = RecentEvents(site.redis).lost_accepts()
        assert (known.first, known.last) == (21, 70)
        assert REDIS_WENT_BACK in ingest.log_text()
    with workers(site):
        until(lambda: bool(losses(site).accepts), seconds=60, why=f"reported; see {site.log}")
        assert [(each.first, each.last) for each in losses(site).accepts] == [(21, 70)]
        site.take(range(70))
        site.check_result()


def copy_of(server: Redis, folder: Path) -> Path:
    """Copy the append-only file as it is now; every acknowledged write is in it."""
    copy = folder / "appendonlydir"
    shutil.copytree(server.folder / "appendonlydir", copy)
    return copy


def go_back(server: Redis, copy: Path) -> None:
    """Restart Redis on an older copy of its data."""
    server.kill()
    shutil.rmtree(server.folder / "appendonlydir")
    shutil.copytree(copy, server.folder / "appendonlydir")
    server.start()


def test_a_restart_of_everything_on_an_older_redis_is_noticed_without_traffic(
    site_with_own_redis: FaultSite, own_redis: Redis, tmp_path: Path
) -> None:
    site = site_with_own_redis
    with workers(site):
        site.take(range(5))
        site.until_drained()
        until_watched(site)
        copy = copy_of(own_redis, tmp_path)
        site.take(range(5, 55))
        site.until_drained()
        until_watched(site)
    go_back(own_redis, copy)
    with workers(site):
        until(lambda: bool(said(site, REDIS_WENT_BACK)), seconds=60, why=f"said; see {site.log}")
        (loss,) = losses(site).accepts
        assert (loss.first, loss.last) == (6, 55)
        until_watched(site)
        site.take(range(55, 60))
        site.check_result()

    assert len(said(site, REDIS_WENT_BACK)) == 1
    assert reported(site) == set(), "PostgreSQL lost nothing"


def test_a_flush_without_traffic_is_noticed(site: FaultSite) -> None:
    with workers(site):
        site.take(range(5))
        site.until_drained()
        until_watched(site)
        site.redis.flushall()
        until(lambda: bool(said(site, REDIS_WENT_BACK)), seconds=60, why=f"said; see {site.log}")
        (loss,) = losses(site).accepts
        assert (loss.first, loss.last) == (0, 5)
        site.take(range(5, 10))
        site.check_result()

    assert len(said(site, REDIS_WENT_BACK)) == 1


def test_a_restart_of_everything_on_an_older_database_is_noticed(
    site: FaultSite, postgres_server: Postgres
) -> None:
    lost = {event_id(number) for number in range(20, 30)}
    with backup_restored_after(site, postgres_server, first=range(20), then=range(20, 30)):
        pass
    with workers(site):
        until(lambda: named_in_log(site) >= lost, seconds=60, why=f"named; see {site.log}")
        until(lambda: site.is_settled(lost), seconds=60, why="they came back")
        site.check_result()


def test_restarts_with_their_own_data_are_silent(
    site_of_its_own: FaultSite, own_redis: Redis, own_postgres: Postgres
) -> None:
    site, before = site_of_its_own, None
    with workers(site) as worker:
        worker.until_ready()
        for number in range(100 if FULL else 10):
            site.take(range(number * 10, number * 10 + 10))
            site.until_drained()
            until_watched(site)
            before = before or epoch(site)
            site.engine.dispose()
            server = own_redis if number % 2 else own_postgres
            server.kill() if number % 3 else server.stop()
            server.start()
            _until_reachable(site)
        site.take(["last"])
        site.check_result()
        until_watched(site)

    assert epoch(site) == before
    assert losses(site) == Losses()
    assert not said(site, REDIS_WENT_BACK)
    assert not said(site, DATABASE_WENT_BACK)


def _until_reachable(site: FaultSite) -> None:
    def answers() -> bool:
        try:
            return bool(site.redis.ping()) and epoch(site) != ""
        except (redis.RedisError, sa.exc.OperationalError):
            return False

    until(answers, seconds=60, why="both servers answer")


def test_planned_failovers_are_silent(
    site_with_pair: FaultSite, synchronous_pair: PostgresPair
) -> None:
    site = site_with_pair
    with workers(site) as worker:
        worker.until_ready()
        for number in range(10 if FULL else 2):
            site.take(range(number * 20, number * 20 + 20))
            site.until_drained()
            until_watched(site)
            site.engine.dispose()
            synchronous_pair.fail_over()
            site.take([f"after.{number}"])
            until(lambda: _is_drained(site), seconds=120, why=f"drained; see {site.log}")
            synchronous_pair.rebuild_standby()
        site.check_result()
        until_watched(site)

    assert losses(site) == Losses()
    assert not said(site, DATABASE_WENT_BACK)


def _is_drained(site: FaultSite) -> bool:
    return site.inbox.backlog().events == 0


def test_planned_failovers_of_redis_are_silent(
    database: str, servers_folder: Path, redis_binary: Path, tmp_path: Path
) -> None:
    """Deliver without a pause while the primary hands over to its replica, which has all."""
    with (
        redis_pair(servers_folder / tmp_path.name, redis_binary) as pair,
        closing(Relay(pair.primary.port)) as relay,
    ):
        site = FaultSite(database, url_through(relay), tmp_path / "worker.log")
        site.install_plans()
        with ingesting(site) as ingest, workers(site, PAIDUP_LOG_LEVEL="info") as worker:
            worker.until_ready()
            stripe = Stripe(ingest, count(), rate=20)
            stripe.start()
            _until_settled(site, ingest, "first")
            known = inbox_epoch(site), epoch(site)
            for number in range(10 if FULL else 2):
                markers = set(site.redis.scan_iter("paidup:done:*", count=1000))
                pair.hand_over()
                relay.point_at(pair.primary.port)
                _until_settled(site, ingest, f"after-{number}")
                site.look_at(pair.primary)
                assert markers <= set(site.redis.scan_iter("paidup:done:*", count=1000))
                pair.until_replica_follows()
            stripe.ended.set()
            stripe.join()
            site.check_result()
            until_watched(site)
            scraped = urllib.request.urlopen(metrics_url(site)).read().decode()  # noqa: S310 - ours

            assert (inbox_epoch(site), epoch(site)) == known
            assert valid_markers(site) == len(site.settled())
            assert losses(site) == Losses()
            assert RecentEvents(site.redis).lost_accepts() == []
            assert REDIS_WENT_BACK not in ingest.log_text()
        assert not said(site, REDIS_WENT_BACK)
        assert not said(site, DATABASE_WENT_BACK)
        for name in ("billing_inbox_went_back_total", "billing_settlements_lost_total"):
            assert f"\n{name} 0.0\n" in scraped
        site.close()


def inbox_epoch(site: FaultSite) -> bytes:
    found: Any = site.redis.get("paidup:epoch")
    return bytes(found)


def _until_settled(site: FaultSite, ingest: FaultyIngest, name: str) -> None:
    until(lambda: ingest.deliver(name).taken, seconds=60, why=f"{name} is taken")
    until(lambda: site.is_settled([event_id(name)]), seconds=60, why=f"{name} settles")
