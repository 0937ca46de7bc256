"""What a whole worker settles reaches those who wait for it, by both ways."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from billing.envelope import parse
from ops.samples.api_shapes import Shape
from ops.samples.lifecycles.registry import compose
from runtime.changes.numbering import CHANNEL
from runtime.database.engine import conninfo_of
from runtime.ledger.catalogues import install_first
from tests.runtime.changes.change_builders import changed, seen, streamed
from tests.runtime.ledger.delivery_builders import NOW, example_plans
from tests.workers.waiting import until
from tests.workers.worker_process import Site, running

pytestmark = pytest.mark.servers


@pytest.fixture
def site(database: str, redis_url: str, tmp_path: Path) -> Iterator[Site]:
    site = Site(database, redis_url, tmp_path / "worker.log")
    install_first(site.engine, example_plans(), actor="tests", reason="tests")
    yield site
    site.close()


def test_an_event_that_grants_is_streamed_and_told(site: Site, database: str) -> None:
    lifecycle = compose("first_paid", shape=Shape.NEW, seed="changes", now=NOW, user_id="usr_1")
    with (
        psycopg.connect(conninfo_of(database), autocommit=True) as listener,
        running(site) as worker,
    ):
        listener.execute(f"LISTEN {CHANNEL}")
        worker.until_ready()
        site.accept(parse(event.body) for event in lifecycle.events)

        heard = next(listener.notifies(timeout=20))
        until(lambda: streamed(site.redis) != [], seconds=10)

    assert json.loads(heard.payload)["cursor"] >= 1
    assert (1, "usr_1") in seen(site.engine)
    assert streamed(site.redis)[0] == (1, "usr_1")


def test_whoever_takes_over_goes_on_where_the_dead_one_was(site: Site) -> None:
    with running(site) as first:
        changed(site.engine, "usr_1")
        until(lambda: streamed(site.redis) == [(1, "usr_1")], seconds=20)
        first.kill()
    changed(site.engine, "usr_2")

    with running(site):
        until(lambda: len(streamed(site.redis)) == 2, seconds=20)

    assert streamed(site.redis) == seen(site.engine)


def test_a_worker_without_a_stream_numbers_all_the_same(site: Site) -> None:
    changed(site.engine, "usr_1")

    with running(site, PAIDUP_CHANGES_STREAM_LENGTH="0"):
        until(lambda: seen(site.engine) == [(1, "usr_1")], seconds=20)

    assert streamed(site.redis) == []


def test_a_stop_publishes_what_was_settled_last(site: Site) -> None:
    with running(site) as worker:
        worker.until_ready()
        changed(site.engine, "usr_1")
        worker.stop()

    left: Any = seen(site.engine)
    assert left == streamed(site.redis) == [(1, "usr_1")]
