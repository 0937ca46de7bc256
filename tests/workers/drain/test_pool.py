from pathlib import Path

import pytest
from celery import Celery
from prometheus_client import CollectorRegistry

from runtime.broker import DRAIN_TASK
from runtime.settings import Settings
from runtime.telemetry import build_metrics
from tests.workers.worker_process import WorkerSite, customers
from workers.batches.celery_pool import register_task
from workers.drain.pool import build_drainer
from workers.liveness import Pulse


def test_the_task_hands_its_wake_up_to_the_drainer_and_nothing_else() -> None:
    celery, woken = Celery(set_as_current=False), list[str]()
    register_task(celery, woken.append)

    celery.tasks[DRAIN_TASK]("token")

    assert woken == ["token"]


@pytest.mark.servers
def test_what_a_child_builds_drains_on_connections_of_its_own(
    database: str, redis_url: str, tmp_path: Path
) -> None:
    site = WorkerSite(database, redis_url, tmp_path / "worker.log")
    site.install_plans()
    ids = site.accept(customers(range(120)))
    pulse = Pulse(tmp_path / "pulse")
    settings = Settings.from_env(site.environ)

    build_drainer(
        settings,
        site.inbox,
        site.engine,
        lambda: False,
        pulse,
        metrics=build_metrics(CollectorRegistry()),
    ).run("wake")

    site.assert_each_applied_once(ids)
    assert pulse.last() > 0
    site.close()
