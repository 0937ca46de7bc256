"""Every drill, in the order of deploy/prometheus/alerts.yml."""

from collections.abc import Mapping
from typing import Final

from bench.drills import comparisons, data, deliveries, disks, servers, workers
from bench.drills.drill import Drill

DRILLS: Final[Mapping[str, Drill]] = {
    drill.name: drill
    for drill in (
        workers.DOWN,
        deliveries.INGEST_ERRORS,
        workers.OLDEST_EVENT_TOO_OLD,
        workers.WORKERS_NOT_CONSUMING,
        workers.LAG,
        data.DATA_WENT_BACK,
        servers.INBOX_FILLS_UP,
        data.CHANGES_NOT_NUMBERED,
        comparisons.DISAGREES_WITH_STRIPE,
        comparisons.RECONCILE_LATE,
        servers.SERVER_STUCK,
        servers.BREAKER_OPEN,
        workers.TOO_FEW_WORKERS,
        deliveries.BAD_SIGNATURES,
        deliveries.WRONG_PATH,
        data.DEAD_LETTERS,
        data.UNSOLD_PRICES,
        servers.REDIS_UNSAFE,
        disks.DISK_LOW,
        deliveries.SECRET_UNUSED,
        data.APPROVAL_BYPASSED,
    )
}
"""The drills by their names."""
