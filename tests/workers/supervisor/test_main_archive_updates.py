"""The supervisor that leads brings changes to archives in steps."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from runtime.ledger.catalogues import install_first
from tests.runtime.ledger.delivery_builders import example_plans, rows
from tests.runtime.ledger.moves_in_steps import AFTER, HOLDERS, WAITING, begin_move
from tests.workers.waiting import until
from tests.workers.worker_process import WorkerSite, running

pytestmark = pytest.mark.servers


@pytest.fixture
def site(database: str, redis_url: str, tmp_path: Path) -> Iterator[WorkerSite]:
    site = WorkerSite(database, redis_url, tmp_path / "worker.log")
    install_first(site.engine, example_plans(), actor="tests", reason="tests")
    begin_move(site.engine)
    yield site
    site.close()


def test_a_worker_updates_the_archives_of_a_customer_who_is_another_users_now(
    site: WorkerSite,
) -> None:
    with running(site):
        until(lambda: rows(site.engine, WAITING) == [0], why=f"updated; see {site.log}")

    assert rows(site.engine, HOLDERS) == [AFTER]
    assert "updated archives in steps" in site.log.read_text()
