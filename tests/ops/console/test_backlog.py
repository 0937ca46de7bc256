from collections.abc import Iterable
from pathlib import Path

import pytest
import redis
from prometheus_client.registry import Collector

from ops.console.backlog import report_backlog
from runtime.inbox.inbox import Inbox
from runtime.settings import Settings
from tests.runtime.inbox.entry_builders import event
from tests.workers.waiting import until


def reported(collectors: Iterable[Collector]) -> dict[str, float]:
    return {
        family.name: family.samples[0].value
        for collector in collectors
        for family in collector.collect()
    }


@pytest.mark.servers
def test_the_console_reports_the_backlog_and_the_processes_needed(
    redis_url: str, tmp_path: Path
) -> None:
    settings = Settings.from_env({"REDIS_URL": redis_url, "PAIDUP_DATA_DIR": str(tmp_path)})
    with redis.Redis.from_url(redis_url) as client:
        Inbox(client).accept(event(1))

    collectors = report_backlog(settings)
    until(lambda: "billing_workers_needed" in reported(collectors), why="the backlog is read")

    numbers = reported(collectors)
    assert numbers["billing_workers_needed"] == 1
    assert numbers["billing_backlog_due_events"] == 1
    assert numbers["billing_worker_processes"] == 0


def test_without_a_redis_to_ask_the_console_reports_nothing_of_it(tmp_path: Path) -> None:
    assert report_backlog(Settings.from_env({"PAIDUP_DATA_DIR": str(tmp_path)})) == ()
