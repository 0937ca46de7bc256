"""Every time limit of delivery in one place, in seconds, because the limits depend on each other.

The order, which ``tests/runtime/test_time_limits.py`` holds:

    lock of a batch < lock of one event < drain < statement < idle in transaction < hard kill
    heartbeat < lease

A limit is shorter than the next one so that the cause of a delay fails before what contains it
does: a lock that is held fails one statement, and not the transaction, the drain or the process.
"""

from datetime import timedelta
from typing import Final

# Waiting for PostgreSQL ------------------------------------------------------------------------

CONNECT_TIMEOUT_SECONDS: Final = 3
"""To open a connection, or to get one from the pool. libpq knows whole seconds only."""

BATCH_LOCK_SECONDS: Final = 0.5
"""For one lock while several events are recorded together.

A batch of 200 is halved eight times until the event that meets the lock is alone. All nine tries
fit into ``SPLIT_SECONDS``. Another batch commits within milliseconds, as a rule.
"""

LOCK_SECONDS: Final = 3.0
"""For one lock in any other transaction. It outlasts ``DECIDING_SECONDS`` of another worker."""

STATEMENT_SECONDS: Final = 10.0
"""For one statement. It outlasts every wait for a lock, so the lock is what an error names."""

IDLE_IN_TRANSACTION_SECONDS: Final = 20.0
"""Between two statements of a transaction: a process that froze lets go of its locks.

It outlasts ``DECIDING_SECONDS`` tenfold, because the last event may begin at their end.
"""

ANSWER_SECONDS: Final = 12.0
"""For one answer, on our side: the server may be frozen, and its own limits with it.

It outlasts ``STATEMENT_SECONDS``, so a server that lives says itself what took too long.
"""

PROBE_ANSWER_SECONDS: Final = 4.0
"""For one answer to a probe: what takes longer is not what events should wait for."""

CANCEL_SECONDS: Final = 2.0
"""For asking the server to end a probe that it did not answer."""

UNACKNOWLEDGED_SECONDS: Final = 10.0
"""Until the kernel gives up a connection whose peer acknowledges nothing that was sent."""

# One batch -------------------------------------------------------------------------------------

DECIDING_SECONDS: Final = 2.0
"""For deciding the events of one transaction. Then it commits those that are decided."""

SPLIT_SECONDS: Final = 5.0
"""For finding the bad events of a batch, from the batch's own start. The rest is tried alone."""

MAX_RUN_SECONDS: Final = 5.0
"""For the batches of one wake-up: a Celery task that ends can be stopped, replaced or killed."""

TASK_SECONDS: Final = 60
"""After this Celery kills a worker process; PostgreSQL rolls back and the lease ends."""

# Claims ----------------------------------------------------------------------------------------

HEARTBEAT_SECONDS: Final = 1.0
"""Between two renewals of a lease. Nine of ten may be lost before the lease ends."""

LEASE: Final = timedelta(seconds=10)
"""After this without a heartbeat, the events of a claim are due again."""

REGISTRATION: Final = timedelta(seconds=3)
"""After this without a heartbeat, a drainer does not count as one, and another may be woken."""

APART: Final = timedelta(seconds=60)
"""After its events were decided too slowly, a partition shares no claim with others this long."""

ANNOUNCEMENT: Final = timedelta(seconds=10)
"""After this without an announcement, a worker's processes do not count."""

UNKNOWN_VERSION: Final = timedelta(seconds=5)
"""Until an entry of a newer release is offered again to a worker of that release."""

UNKNOWN_VERSION_SECONDS: Final = 60.0
"""The snooze of an entry of a newer release that was claimed all the same."""

MARKER: Final = timedelta(days=3)
"""How long a done marker answers duplicates: as long as Stripe sends an event again."""

# Failures --------------------------------------------------------------------------------------

MIN_BACKOFF_SECONDS: Final = 2.0
"""The wait after the first attempt of an event; it doubles with each attempt."""

MAX_BACKOFF_SECONDS: Final = 600.0
"""The longest wait between two attempts."""

MAX_REST_SECONDS: Final = 30.0
"""The longest wait of a customer's other events for one that met a lock, which may wait longer."""

MAX_RETRY_AGE: Final = timedelta(hours=24)
"""After this an event that still fails needs an operator."""

OUTAGE_SECONDS: Final = 3.0
"""The snooze during an outage, up to twice that; the breaker keeps workers off the database."""

OUTDATED_SECONDS: Final = 30.0
"""The snooze of events that meet a schema of another release."""

BREAKER_SECONDS: Final = 30.0
"""The breaker closes by itself after this time if no supervisor probes the database."""

REOPEN_SECONDS: Final = 30.0
"""Each failed probe opens the breaker again for this time."""

# Processes -------------------------------------------------------------------------------------

MAX_FALLBACK_RUN_SECONDS: Final = 30.0
"""For the process that drains while no wake-up reaches the pool."""

OVERDUE_SECONDS: Final = MAX_FALLBACK_RUN_SECONDS + TASK_SECONDS
"""The time to drain and then to finish one batch, which may take as long as one of a pool."""

POOL_STUCK_SECONDS: Final = 30.0
"""After this without a claim while events are due, the pool is restarted.

It outlasts a drain that meets a held lock, a slow statement or a transaction that is idle.
"""

STUCK_GRACE_SECONDS: Final = 10.0
"""From SIGTERM to SIGKILL for a pool that is stuck."""

GRACE_SECONDS: Final = 85.0
"""From SIGTERM to SIGKILL when a worker stops.

It is longer than any batch, and than the 30 s a Celery child may wait for its parent at the end.
"""

VISIBILITY_SECONDS: Final = 150
"""After this Celery hands an unacknowledged wake-up to another worker: longer than any task."""

# Processes that end with their parent ------------------------------------------------------

PARENT_LOOK_SECONDS: Final = 0.2
"""Between two looks at the parent. A server whose parent died keeps its port that long."""

SERVER_ORPHAN_SECONDS: Final = 1.0
"""A server process whose launcher is gone may take this long to end after SIGTERM."""

# Replicas of Redis -----------------------------------------------------------------------------

REPLICA_WAIT_SECONDS: Final = 0.35
"""For each of two waits in a row. With the write they must end within the second for an answer."""
