"""Scale real workers up and down by the processes needed, under a load that rises and falls."""

import os
from collections import Counter
from itertools import pairwise
from pathlib import Path

import pytest
import sqlalchemy as sa

from bench.scaling.autoscaler import Autoscaler, read_rules
from bench.scaling.plan import RISE_AND_FALL
from bench.scaling.run import POISON, ScalingRun
from bench.scaling.site import run_on, scaling_site
from models.tables import StripeEvent
from ops.up.servers.postgres_server import Postgres
from ops.up.servers.redis_server import Redis
from runtime.time_limits import TARGET_AGE_SECONDS
from tests.workers.worker_process import WorkerSite

pytestmark = pytest.mark.servers

FULL = bool(os.environ.get("PAIDUP_TEST_FULL"))
RULES = read_rules(fewest=1, most=6, processes_each=1)
FREEZE_AND_AFTER = 40.0
"""Seconds in which what a freeze held up may be older than the workers keep events."""


def assert_nobody_was_charged(site: WorkerSite, run: ScalingRun) -> None:
    """Assert that each event was settled once at its first attempt, and only the poison failed."""
    assert site.settled() == Counter([*run.ids, POISON])
    with site.engine.connect() as connection:
        charged = connection.scalars(sa.select(StripeEvent.id).where(StripeEvent.attempts > 1))
        assert set(charged) == {POISON}
    assert site.dead() == []


def assert_it_rose_and_fell(run: ScalingRun, autoscaler: Autoscaler) -> None:
    steps = [by for _, by in autoscaler.changes]
    assert max(sample.workers for sample in run.samples) > RULES.fewest
    assert autoscaler.workers == RULES.fewest
    # Up, and at the end down: it does not go to and fro.
    directions = [step > 0 for step in steps]
    assert directions == sorted(directions, reverse=True), steps


def assert_a_minute_apart(autoscaler: Autoscaler, faster: float = 1.0) -> None:
    times = [at for at, _ in autoscaler.changes]
    assert all(later - earlier >= 60 / faster for earlier, later in pairwise(times)), times


def test_workers_follow_a_load_and_nobody_is_charged_for_it(
    own_postgres: Postgres, own_redis: Redis, tmp_path: Path
) -> None:
    """Run all six times as fast, since CI has no quarter of an hour for it.

    Workers start no faster, so the long form alone shows how old events become.
    """
    faster = 6.0
    with scaling_site(own_postgres, own_redis, tmp_path) as site:
        run, autoscaler = run_on(
            site, own_postgres, RISE_AND_FALL.faster(faster), RULES.faster(faster)
        )

        assert_nobody_was_charged(site, run)
    assert_it_rose_and_fell(run, autoscaler)
    assert_a_minute_apart(autoscaler, faster)


@pytest.mark.slow
@pytest.mark.skipif(not FULL, reason="takes a quarter of an hour: PAIDUP_TEST_FULL=1")
def test_events_stay_young_while_workers_come_and_go(
    own_postgres: Postgres, own_redis: Redis, tmp_path: Path
) -> None:
    with scaling_site(own_postgres, own_redis, tmp_path) as site:
        run, autoscaler = run_on(site, own_postgres, RISE_AND_FALL, RULES)

        assert_nobody_was_charged(site, run)
    assert_it_rose_and_fell(run, autoscaler)
    assert_a_minute_apart(autoscaler)
    frozen_at = RISE_AND_FALL.frozen_at
    usual = [
        sample.age
        for sample in run.samples
        if not frozen_at <= sample.at <= frozen_at + FREEZE_AND_AFTER
    ]
    assert max(usual) < TARGET_AGE_SECONDS
