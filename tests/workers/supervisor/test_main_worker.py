"""The whole worker on real servers: each event is applied once, whichever process is killed."""

import random
import re
import signal
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ops.doctor.check_postgres import check_postgres
from ops.doctor.findings import State
from ops.up.servers.postgres_server import Postgres
from ops.up.servers.redis_server import Redis
from runtime.schema import upgrade
from runtime.settings import Settings
from runtime.time_limits import GRACE_SECONDS
from tests.killing import kill
from tests.workers.drain.poisoned_pool import POISON
from tests.workers.waiting import until
from tests.workers.worker_process import WorkerProcess, WorkerSite, customers, running

pytestmark = pytest.mark.servers


@pytest.fixture
def site(database: str, redis_url: str, tmp_path: Path) -> Iterator[WorkerSite]:
    site = WorkerSite(database, redis_url, tmp_path / "worker.log")
    site.install_plans()
    yield site
    site.close()


def test_an_accepted_event_is_applied_at_once(site: WorkerSite) -> None:
    with running(site) as worker:
        worker.until_ready()

        ids = site.accept(customers(range(1)))
        until(lambda: site.settled_count() == 1, seconds=5)

        site.until_drained()
        site.assert_each_applied_once(ids)
        assert worker.stop() == 0


def test_events_that_waited_for_a_worker_are_applied_without_a_wake_up(site: WorkerSite) -> None:
    events = list(customers(range(150)))
    for event in events:
        site.inbox.accept(event)

    with running(site):
        site.until_drained()

    site.assert_each_applied_once([str(event.event_id) for event in events])


def test_a_duplicate_of_a_settled_event_gets_the_cached_result(site: WorkerSite) -> None:
    with running(site) as worker:
        worker.until_ready()
        site.accept(customers(range(1)))
        site.until_drained()

        (event,) = customers(range(1))
        again = site.inbox.accept(event)

    assert again.status == "duplicate"
    assert again.result is not None
    assert (again.result["outcome"], again.result["attempts"]) == ("applied", 1)


@pytest.mark.parametrize(
    "number", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.slow)]
)
def test_a_stop_finishes_what_runs_and_exits_0_and_nothing_is_lost(
    site: WorkerSite, number: signal.Signals
) -> None:
    with running(site) as worker:
        worker.until_ready()
        ids = site.accept(customers(range(1000)))
        until(lambda: site.settled_count() > 0)

        worker.process.send_signal(number)
        worker.process.send_signal(number)
        code = worker.process.wait(30)

    assert code == 0
    backlog = site.inbox.backlog()
    assert (backlog.claimed, backlog.processes) == (0, 0)
    assert backlog.events + site.settled_count() == len(ids)
    with running(site):
        site.until_drained()
    site.assert_each_applied_once(ids)


ODD = {
    "DateStyle": "SQL, DMY",
    "IntervalStyle": "sql_standard",
    "bytea_output": "escape",
    "TimeZone": "Asia/Kathmandu",
    "search_path": "shop",
}


def test_events_settle_whatever_the_database_has_set_and_doctor_has_nothing_to_say(
    site: WorkerSite, postgres_server: Postgres
) -> None:
    name = site.database_url.rpartition("/")[2]
    with site.engine.begin() as connection:
        connection.exec_driver_sql("CREATE SCHEMA shop CREATE TABLE customers (name text)")
    site.engine.dispose()
    with postgres_server._connect() as admin:
        for setting, value in ODD.items():
            admin.execute(f"ALTER DATABASE {name} SET {setting} = '{value}'".encode())

    with running(site) as worker:
        worker.until_ready()
        ids = site.accept(customers(range(300)))
        site.until_drained()

    site.assert_each_applied_once(ids)
    assert site.dead() == []
    found = list(check_postgres(Settings.from_env(site.environ)))
    # The site's plans are none of a file, and one role does everything there.
    assert {each.check for each in found if each.state is not State.OK} <= {"plans", "rights"}


def child(worker: WorkerProcess) -> int | None:
    return random.choice(worker.children or [0])  # noqa: S311 - which process dies need not be secret


def pool(worker: WorkerProcess) -> int | None:
    return worker.pool


@pytest.mark.parametrize("victim", [child, pytest.param(pool, marks=pytest.mark.slow)])
def test_kill_9_in_the_middle_of_2000_events_loses_and_doubles_nothing(
    site: WorkerSite, victim: Callable[[WorkerProcess], int | None]
) -> None:
    with running(site) as worker:
        worker.until_ready()
        ids = site.accept(customers(range(2000)))
        for share in (100, 500, 900):
            until(lambda share=share: site.settled_count() >= share, seconds=30)  # type: ignore[misc]
            until(lambda: kill(victim(worker)), why="a process was killed")

        site.until_drained()
        assert worker.stop() == 0

    site.assert_each_applied_once(ids)
    assert site.dead() == []


@pytest.mark.slow
def test_a_machine_that_dies_in_the_middle_of_2000_events_loses_and_doubles_nothing(
    site: WorkerSite,
) -> None:
    ids = site.accept(customers(range(2000)))
    for share in (100, 700, 1300):
        with running(site):
            until(lambda share=share: site.settled_count() >= share, seconds=40)  # type: ignore[misc]

    with running(site):
        site.until_drained()

    site.assert_each_applied_once(ids)
    assert site.dead() == []


def test_a_pool_does_not_outlive_its_supervisor(site: WorkerSite) -> None:
    with running(site) as worker:
        worker.until_ready()
        family = worker.tree()[1:]

        worker.process.kill()
        worker.process.wait()

        until(lambda: not any(alive(pid) for pid in family), why="the pool ended")


@pytest.mark.slow
def test_a_pool_does_not_outlive_its_supervisor_when_redis_is_gone_too(
    database: str, own_redis: Redis, tmp_path: Path
) -> None:
    """Celery may ignore signals while it looks for its broker: the end may take all the grace."""
    site = WorkerSite(database, own_redis.url, tmp_path / "worker.log")
    site.install_plans()
    with running(site) as worker:
        worker.until_ready()
        family = worker.tree()[1:]

        own_redis.kill()
        worker.process.kill()
        worker.process.wait()

        until(
            lambda: not any(alive(pid) for pid in family),
            seconds=GRACE_SECONDS + 30,
            why="the pool ended",
        )
    site.close()


def alive(pid: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False


def test_an_outage_of_postgresql_opens_the_breaker_and_uses_no_attempts(
    own_postgres: Postgres, redis_url: str, tmp_path: Path
) -> None:
    site = WorkerSite(own_postgres.url, redis_url, tmp_path / "worker.log")
    upgrade(site.engine)
    site.install_plans()
    with running(site) as worker:
        worker.until_ready()
        ids = site.accept(customers(range(50)))
        site.until_drained()

        site.engine.dispose()
        own_postgres.stop()
        ids += site.accept(customers(range(50, 150)))
        until(site.inbox.breaker_open, why="the breaker opened")
        attempts = [peeked.history.get("attempts", 0) for peeked in site.inbox.peek(ids[50:])]
        own_postgres.start()

        until(lambda: not site.inbox.breaker_open(), why="the breaker closed")
        site.until_drained()
    site.assert_each_applied_once(ids)
    site.close()

    assert set(attempts) == {0}


def test_a_poison_event_is_a_dead_letter_after_three_crashes_alone_and_its_neighbours_live(
    site: WorkerSite,
) -> None:
    ids = site.accept(customers([*range(50), int(POISON.removeprefix("evt_"))]))

    with running(site, "tests.workers.drain.poisoned"):
        until(lambda: bool(site.dead()), seconds=120, why="the poison is a dead letter")
        site.until_drained()

    (letter,) = site.dead()
    assert (letter.event_id, letter.error_type, letter.state) == (POISON, "crash_loop", "open")
    site.assert_each_applied_once([id_ for id_ in ids if id_ != POISON])


def test_the_metrics_of_all_processes_and_the_shared_state_are_served(site: WorkerSite) -> None:
    with running(site) as worker:
        worker.until_ready()
        site.accept(customers(range(20)))
        site.until_drained()

        (address,) = re.findall(
            r'"(127.0.0.1:[0-9]+)", "event": "metrics served"', site.log.read_text()
        )
        with urllib.request.urlopen(f"http://{address}/metrics") as answer:
            scrape = answer.read().decode()

    assert (
        'billing_events_settled_total{event_type="customer.created",outcome="applied"} 20.0'
        in scrape
    )
    assert 'idempotent_hits_total{operation="worker"} 0.0' in scrape
    assert "billing_backlog_events 0.0" in scrape
    assert "billing_dead_letters 0.0" in scrape
    assert 'billing_unsold_prices{reason="unknown_price"} 0.0' in scrape
    assert "billing_breaker_open 0.0" in scrape


def test_wrong_settings_are_named_and_nothing_starts(site: WorkerSite) -> None:
    worker = WorkerProcess(site, REDIS_URL="", PAIDUP_WORKER_PROCESSES="many")

    assert worker.process.wait(20) == 2
    assert "PAIDUP_WORKER_PROCESSES" in site.log.read_text()


@pytest.mark.slow
def test_redis_down_at_the_start_and_killed_under_load_loses_and_doubles_nothing(
    database: str, own_redis: Redis, tmp_path: Path
) -> None:
    site = WorkerSite(database, own_redis.url, tmp_path / "worker.log")
    site.install_plans()
    ids = site.accept(customers(range(1000)))
    own_redis.stop()
    with running(site) as worker:
        until(
            lambda: "Redis is unreachable" in site.log.read_text(), why="the worker found no Redis"
        )
        own_redis.start()
        for share in (100, 400):
            until(lambda share=share: site.settled_count() >= share, seconds=40)  # type: ignore[misc]
            own_redis.kill()
            own_redis.start()

        site.until_drained()
        assert worker.stop() == 0

    site.assert_each_applied_once(ids)
    assert site.dead() == []
    site.close()
