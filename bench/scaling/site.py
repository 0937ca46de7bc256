"""Servers of one run, with PostgreSQL as far away as in another place."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

from bench.scaling.autoscaler import Autoscaler, ScalingRules
from bench.scaling.plan import LoadPlan
from bench.scaling.run import ScalingRun
from ops.up.servers.postgres_server import Postgres
from ops.up.servers.redis_server import Redis
from runtime.schema import upgrade
from tests.relay import Relay
from tests.workers.worker_process import WorkerSite

DELAY_SECONDS: Final = 0.02
"""One way to PostgreSQL. Workers wait most of the time, so that several run on two processors."""


@contextmanager
def scaling_site(postgres: Postgres, redis: Redis, folder: Path) -> Iterator[WorkerSite]:
    """Yield a site on two running servers whose database is empty."""
    site = WorkerSite(postgres.url, redis.url, folder / "workers.log")
    try:
        upgrade(site.engine)
        site.install_plans()
        yield site
    finally:
        site.close()


def run_on(
    site: WorkerSite, postgres: Postgres, plan: LoadPlan, rules: ScalingRules
) -> tuple[ScalingRun, Autoscaler]:
    """Run a plan to its end."""
    with closing(Relay(postgres.port, delay_seconds=DELAY_SECONDS)) as relay:
        run = ScalingRun(site=site, postgres=postgres, relay=relay, plan=plan, rules=rules)
        return run, run.run()
