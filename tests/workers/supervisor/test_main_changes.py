"""Entitlement changes of a whole worker reach the view and the listeners."""

import json
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from billing.envelope import parse
from ops.samples.api_shapes import Shape
from ops.samples.lifecycles.registry import compose
from runtime.changes.notification import CHANNEL
from runtime.database.engine import conninfo_of
from runtime.ledger.catalogues import install_first
from tests.runtime.changes.change_builders import changed, visible_changes
from tests.runtime.ledger.delivery_builders import NOW, example_plans
from tests.workers.waiting import until
from tests.workers.worker_process import WorkerSite, running

pytestmark = pytest.mark.servers


@pytest.fixture
def site(database: str, redis_url: str, tmp_path: Path) -> Iterator[WorkerSite]:
    site = WorkerSite(database, redis_url, tmp_path / "worker.log")
    install_first(site.engine, example_plans(), actor="tests", reason="tests")
    yield site
    site.close()


def test_an_event_that_grants_is_numbered_and_notified(site: WorkerSite, database: str) -> None:
    lifecycle = compose("first_paid", shape=Shape.NEW, seed="changes", now=NOW, user_id="usr_1")
    with (
        psycopg.connect(conninfo_of(database), autocommit=True) as listener,
        running(site) as worker,
    ):
        listener.execute(f"LISTEN {CHANNEL}")
        worker.until_ready()
        site.accept(parse(event.body) for event in lifecycle.events)

        heard = next(listener.notifies(timeout=20))

    assert json.loads(heard.payload)["cursor"] >= 1
    assert (1, "usr_1") in visible_changes(site.engine)


def test_the_next_leader_continues_where_a_killed_one_stopped(site: WorkerSite) -> None:
    with running(site) as first:
        changed(site.engine, "usr_1")
        until(lambda: visible_changes(site.engine) == [(1, "usr_1")], seconds=20)
        first.kill()
    changed(site.engine, "usr_2")

    with running(site):
        until(lambda: len(visible_changes(site.engine)) == 2, seconds=20)

    assert visible_changes(site.engine) == [(1, "usr_1"), (2, "usr_2")]


def test_a_stop_publishes_the_events_that_were_settled_last(site: WorkerSite) -> None:
    with running(site) as worker:
        worker.until_ready()
        changed(site.engine, "usr_1")
        worker.stop()

    assert visible_changes(site.engine) == [(1, "usr_1")]
