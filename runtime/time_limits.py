"""Every time limit of delivery in one place, in seconds, because the limits depend on each other.

The main orders; ``tests/runtime/test_time_limits.py`` holds them and each one that is stated below:

    lock of a batch < lock of one event < drain < statement < idle in transaction < hard kill
    heartbeat < lease; idle in the transaction of a batch < lease
    connecting to Redis + its answer < the answer to Stripe
    connecting to Stripe < silence < one answer < one event < hard kill < a stuck fetch pool
    sweep < the lead among supervisors

A limit is shorter than the next one so that the cause of a delay fails before what contains it
does: a lock that is held fails one statement, and not the transaction, the drain or the process.
The Lua scripts take their limits from here, too (``runtime/inbox/scripts.py``).
"""

from datetime import timedelta
from typing import Final

# Waiting for PostgreSQL ------------------------------------------------------------------------

CONNECT_TIMEOUT_SECONDS: Final = 3
"""To open a connection, or to get one from the pool. libpq knows whole seconds only."""

NEXT_HOST_SECONDS: Final = 0.3
"""Until the next host of a URL is tried as well. A server that lives answers within milliseconds.

Without it a frozen primary takes ``CONNECT_TIMEOUT_SECONDS`` of the probe and as much again of the
worker, so events waited 13 s after a failover.
"""

BATCH_LOCK_SECONDS: Final = 0.5
"""For one lock while several events are recorded together.

A batch of 200 is halved eight times until the event that meets the lock is alone. All nine tries
fit into ``SPLIT_SECONDS``. Another batch commits within milliseconds, as a rule.
"""

LOCK_SECONDS: Final = 3.0
"""For one lock in any other transaction. It outlasts ``DECIDING_SECONDS`` of another worker."""

STATEMENT_SECONDS: Final = 6.0
"""For one statement. It outlasts every wait for a lock, so the lock is what an error names."""

BATCH_IDLE_SECONDS: Final = 7.0
"""Between two statements of a transaction for several events: a process that froze lets go of its
locks.

It is shorter than ``LEASE``. With 20 s the claim of a frozen process ended first, and the process
that took its events waited for its locks, one customer after another: others waited 17 s. It
outlasts ``DECIDING_SECONDS`` threefold, because the last event may begin at their end.
"""

IDLE_IN_TRANSACTION_SECONDS: Final = 20.0
"""The same for any other transaction. An event alone holds the locks of its own customers only, and
may take long to decide, which is why it is alone.
"""

ANSWER_SECONDS: Final = 6.5
"""For one answer, on our side: the server may be frozen, and its own limits with it.

It outlasts ``STATEMENT_SECONDS``, so a server that lives says itself what took too long. After
it, a probe and a worker connect past a frozen primary, and events come back after an outage. The
sum is below ten seconds: so long may events wait after a failover that left every process of a pool
with a frozen primary.
"""

PROBE_ANSWER_SECONDS: Final = 4.0
"""For one answer to a probe: what takes longer is not what events should wait for."""

READING_STATEMENT_SECONDS: Final = 0
"""For a statement of an operator's command that only reads: no limit, which PostgreSQL writes as 0.

To read a large database takes minutes, and no worker waits for it.
"""

READING_IDLE_SECONDS: Final = 0
"""Between two statements of such a command: no limit, since a pager may wait for its reader."""

APPLICATION_STATEMENT_SECONDS: Final = 600.0
"""For one statement in the application's own database, which a comparison must not burden for long.
"""

APPLICATION_ANSWER_SECONDS: Final = 610.0
"""For one answer of that database, on our side. It outlasts ``APPLICATION_STATEMENT_SECONDS``."""

CANCEL_SECONDS: Final = 2.0
"""For asking the server to end a probe that it did not answer."""

UNACKNOWLEDGED_SECONDS: Final = 6.0
"""Until the kernel gives up a connection whose peer acknowledges nothing that was sent.

It is shorter than ``ANSWER_SECONDS``, so the error of a server that is gone names the connection.
"""

KEEPALIVE_IDLE_SECONDS: Final = 10
"""Until the kernel asks the peer of a silent connection whether it is there. Whole seconds."""

KEEPALIVE_SECONDS: Final = 5
"""Between two of three such questions. A peer that answers none is given up after 25 s at most,
which is before the pool of that process counts as stuck. On Linux ``UNACKNOWLEDGED_SECONDS``
decides instead of the number of questions (tcp(7), TCP_USER_TIMEOUT), so it is sooner there."""

# Waiting for Redis -----------------------------------------------------------------------------

REDIS_CONNECT_SHARE: Final = 0.2
"""The part of a client's limit for an answer in which a connection must open. The kernel of a
server that can be reached accepts one at once, also while Redis pauses."""

SENTINEL_SHARE: Final = 0.3
"""The same for an answer of a sentinel: one that is silent must leave time to ask the next one."""

SUPERVISOR_REDIS_SECONDS: Final = 2.0
"""For one answer to a supervisor. With a period it is shorter than the lead and an announcement."""

WORKER_REDIS_SECONDS: Final = 5.0
"""For one answer to a process that drains. With a heartbeat it is shorter than a lease."""

COMMAND_REDIS_SECONDS: Final = 2.0
"""For one answer to an operator's command."""

# Answering Stripe ------------------------------------------------------------------------------

INGEST_ANSWER_SECONDS: Final = 1.0
"""For the 503 when Redis is away, and for an acknowledgement in any one of its parts: the inbox,
the replicas or the wake-up. No part waits longer, whichever server is frozen."""

INGEST_REDIS_SECONDS: Final = 0.6
"""For one answer of Redis to ingest. With the connection it is shorter than the answer to Stripe.

The first request that meets this limit opens the breaker, so the others wait no time at all. So it
is as long as the answer to Stripe lets it be: with 0.5 s, one pause of Redis in a burst became
3,207 times a 503; with 0.7 s, a busy machine answered after 1.03 s.
"""

ACCEPT_TURN_SECONDS: Final = 0.05
"""For the call of Redis that is under way, before an event is sent by a call beside it. With the
connection and an answer it is shorter than ``ACCEPT_ANSWER_SECONDS``."""

ACCEPT_ANSWER_SECONDS: Final = 0.85
"""For the answer of the thread whose call an event shares. It is shorter than the answer to Stripe,
and outlasts any call, so that what ends a wait is what became of the call."""

REPLICA_WAIT_SECONDS: Final = 0.35
"""For each of two waits in a row, which together are shorter than the answer to Stripe. Each is
shorter than ``INGEST_REDIS_SECONDS``, so a replica that lags does not count as a frozen Redis."""

BREAKER_PROBE_SECONDS: Final = 1.0
"""Between two probes of the server behind an HTTP server, while its breaker is closed."""

OPEN_BREAKER_PROBE_SECONDS: Final = 0.2
"""The same while it is open: shorter, because requests are refused meanwhile."""

STALE_PROBE_SECONDS: Final = 10.0
"""The age at which the last probe says nothing. It outlasts a period and a probe that fails."""

REDIS_SETTINGS_SECONDS: Final = 5.0
"""The age at which the durability of Redis is read again, unless another server answers. It is
longer than a period of the probe, and shorter than the age at which that is stale."""

GROWTH_NOTED: Final = timedelta(seconds=5)
"""Between two notes of how many events wait."""

GROWTH_SPAN: Final = timedelta(seconds=60)
"""The age up to which a note tells how fast the inbox grows. It outlasts many notes, so that a
burst of a second does not count as a rate."""

ARRIVAL_SPAN: Final = timedelta(seconds=15)
"""The age from which a note tells how many events arrive a second. It outlasts a few notes, so that
single events are no rate, and is so short that a rising load is known before it is a backlog."""

TARGET_AGE_SECONDS: Final = 10.0
"""The age of the oldest due event that workers are to keep below. Above it they are behind."""

SETTLING_SECONDS: Final = 4.0
"""From one settled event to the next while several are claimed: if it takes longer, PostgreSQL does
not answer, and more workers would wait with the others. It outlasts ``DECIDING_SECONDS`` and the
wait for a lock, and is shorter than the wait for a server that froze."""

STALE_NEED_SECONDS: Final = 300.0
"""For which a process repeats the number of processes needed that it read before Redis fell silent.
It outlasts a failover of Redis."""

SHARED_BACKLOG_SECONDS: Final = 2.0
"""Between two looks of the console at the backlog, for its metrics."""

RETRY_AFTER_SECONDS: Final = 5
"""What a 503 asks its client to wait: longer than the breaker needs to close after an outage."""

INGEST_IDLE_SECONDS: Final = 10
"""For the next request on a connection, or for its headers. It is documented, for proxies."""

STALLED_SECONDS: Final = 9.0
"""For the rest of a request. With ``STALLED_LOOK_SECONDS`` it is shorter than the limit above, and
it is longer than any answer, so a client that waits for one is not closed."""

STALLED_LOOK_SECONDS: Final = 0.5
"""Between two looks at the connections."""

SERVER_STOP_SECONDS: Final = 5
"""For the open requests when an HTTP server stops. It outlasts their answers, and is shorter than
the time that ``paidup up`` gives the server to end."""

SERVER_RESTART_SECONDS: Final = 1.0
"""Until a server is started again whose processes die as soon as they have started."""

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
"""Between two renewals of a lease. Seven of eight may be lost before the lease ends."""

LEASE: Final = timedelta(seconds=8)
"""After this without a heartbeat, the events of a claim are due again: none of them waits 10 s.

It outlasts a heartbeat that waits for Redis as long as it may.
"""

RELEASE_PAUSE_SECONDS: Final = 0.5
"""Between two tries to release a claim while Redis is away: shorter than a heartbeat."""

REGISTRATION: Final = timedelta(seconds=3)
"""After this without a heartbeat, a drainer does not count as one, and another may be woken."""

APART: Final = timedelta(seconds=60)
"""After its events were decided too slowly, a partition shares no claim with others this long."""

ENDED_REST: Final = timedelta(seconds=60)
"""How long the end of a rest is known. The next claim of that partition tries its events alone."""

CLOCK_SLACK: Final = timedelta(seconds=1)
"""A time that lies so little ahead is no sign that Redis' clock stepped back. It is shorter than
any span that the sweeper shortens then."""

MAX_DELAY: Final = timedelta(minutes=30)
"""A parked event that is due later than this is due at once after the clock stepped back. It
outlasts ``MAX_BACKOFF_SECONDS`` and ``MAX_FETCH_REST``, so it ends none of those early."""

UNKNOWN_VERSION: Final = timedelta(seconds=5)
"""Until an entry of a newer release is offered again to a worker of that release."""

UNKNOWN_VERSION_SECONDS: Final = 60.0
"""The snooze of an entry of a newer release that was claimed all the same."""

MARKER: Final = timedelta(days=3)
"""How long a done marker answers duplicates: as long as Stripe sends an event again."""

SETTLED_KEPT: Final = timedelta(seconds=60)
"""How long an event stays in Redis after PostgreSQL was seen to have it, in case that was lost.

It outlasts many checks of ``data_watch``, and a failover of PostgreSQL between two of them.
"""

# Wake-ups --------------------------------------------------------------------------------------

LONGEST_WAIT_SECONDS: Final = 0.25
"""The age of a due event at which another process is woken, although one drains already."""

WAKE_MESSAGE_SECONDS: Final = 2.0
"""After this a wake-up that no process took is owed again. It outlasts the sending of one, and is
shorter than the registration of a process that drains."""

WAKE_TURN_SECONDS: Final = 0.05
"""For a thread to get its turn to send a wake-up. All parts of sending end within the answer to
Stripe; what is not sent, the sweeper sends."""

WAKE_CONNECT_SECONDS: Final = 0.3
"""To open a connection to the broker for a wake-up."""

WAKE_ANSWER_SECONDS: Final = 0.5
"""For the broker's answer to a wake-up."""

BROKER_SENTINEL_SECONDS: Final = 0.2
"""For an answer of a sentinel about the broker. It is shorter than connecting to the broker."""

WAKE_KEPT_SECONDS: Final = 10.0
"""After this RabbitMQ drops a wake-up that no worker took. It outlasts the time after which another
is owed, and the run of a process that is busy with the one before."""

WAKE_QUIET_SECONDS: Final = 2.0
"""After a failure no wake-up is sent for so long, so that no other request waits for the broker."""

BROKER_CONNECT_SECONDS: Final = 2
"""To open a pool's connection to the broker. It is shorter than the wait for an answer."""

BROKER_AGAIN_SECONDS: Final = 1.0
"""Between two tries of a pool to connect to the broker again."""

BROKER_HEALTH_SECONDS: Final = 10
"""The age of a pool's connection at which it is checked before it is used."""

RESTORE_LOCK_SECONDS: Final = 30
"""For the lock of the process that puts unacknowledged wake-ups back: shorter than the time after
which they are put back."""

# Failures --------------------------------------------------------------------------------------

MIN_BACKOFF_SECONDS: Final = 2.0
"""The wait after the first attempt of an event; it doubles with each attempt."""

MIN_LOCKED_BACKOFF_SECONDS: Final = 1.0
"""The same for an event that met a lock, since most locks are soon gone."""

MAX_BACKOFF_SECONDS: Final = 600.0
"""The longest wait between two attempts."""

MAX_REST_SECONDS: Final = 30.0
"""The longest wait of a customer's other events for one that met a lock, which may wait longer."""

MAX_RETRY_AGE: Final = timedelta(hours=24)
"""After this an event that still fails needs an operator."""

OUTAGE_SECONDS: Final = 1.0
"""The snooze during an outage, up to twice that. It may be short: while the outage lasts, the
breaker stops all claims."""

OUTDATED_SECONDS: Final = 30.0
"""The snooze of events that meet a schema of another release."""

BREAKER_SECONDS: Final = 30.0
"""The breaker closes by itself after this time if no supervisor probes the database."""

REOPEN_SECONDS: Final = 30.0
"""Each failed probe opens the breaker again for this time."""

MAX_BREAKER: Final = timedelta(seconds=60)
"""The longest rest of the breaker after Redis' clock stepped back: longer than the two above."""

# Asking Stripe's API ---------------------------------------------------------------------------

API_CONNECT_SECONDS: Final = 3.0
"""To open a connection to Stripe's API."""

API_SILENCE_SECONDS: Final = 10.0
"""For the next bytes of an answer. It outlasts the opening of a connection."""

API_ANSWER_SECONDS: Final = 20.0
"""For a whole answer, even if bytes keep coming. It outlasts a silence, which is then named."""

MAX_FETCH_SECONDS: Final = 30.0
"""For all requests of one event. The last one may begin at their end; its answer still comes
before ``TASK_SECONDS`` are over, after which the process is killed as hanging."""

FETCH_STUCK_SECONDS: Final = 90.0
"""After this without a claim while events wait, the fetch pool is restarted.

It outlasts ``TASK_SECONDS``: while every fetcher waits for Stripe, none claims.
"""

API_FORBIDDEN_SECONDS: Final = 60.0
"""The pause after Stripe refused the API key; the log line asks an operator to fix it."""

API_AWAY_SECONDS: Final = 3.0
"""The snooze of an event that Stripe's API did not answer, up to twice that."""

API_LIMITED_SECONDS: Final = 10.0
"""The pause after a 429 that names none."""

MIN_LIMITED_REST: Final = timedelta(seconds=1)
"""The shortest pause after a 429, even if it names a shorter one."""

MIN_FETCH_REST: Final = timedelta(seconds=5)
"""The pause after the third request in a row without an answer; each further one doubles it."""

MAX_FETCH_REST: Final = timedelta(minutes=5)
"""The longest pause, even if Stripe asks for more. Then one event is tried."""

BUDGET_BULK_AHEAD: Final = timedelta(seconds=1)
"""How far ahead a backfill or a reconciliation may book a request; one at a slower rate, too."""

BUDGET_AHEAD: Final = timedelta(seconds=2)
"""The same for what a person or an event waits for, so that it is sent before what was booked."""

BUDGET_RAISED: Final = timedelta(seconds=10)
"""For how long a run's own rate counts after its last request."""

BUDGET_SLOWED: Final = timedelta(seconds=60)
"""For how long a 429 halves the rate. It outlasts the pause that Stripe asks for."""

BUDGET_WAIT_SECONDS: Final = 5.0
"""The longest wait for a turn of what an event waits for. After it the fetch lane pauses."""

# The supervisor --------------------------------------------------------------------------------

PERIOD_SECONDS: Final = 1.0
"""Between two runs of the periodic jobs: announcing, sweeping, watching, probing PostgreSQL."""

LEAD_SECONDS: Final = 5.0
"""After this another supervisor leads. It outlasts a period in which Redis answers late."""

ANNOUNCEMENT: Final = timedelta(seconds=10)
"""After this without an announcement, a worker's processes do not count.

It outlasts a period in which each call to Redis waits as long as it may.
"""

LOOP_STILL_SECONDS: Final = 60.0
"""After this without a new run of the jobs that ask Redis alone, or without a look at the pools, a
supervisor hangs, and ``/livez`` asks for its restart.

It outlasts a run in which each call to Redis waits as long as it may.
"""

DATA_WATCH_SECONDS: Final = 0.5
"""Between two questions whether data went back: twice in a second, to report it within one."""

ACCESS_EXPIRY_SECONDS: Final = 20.0
"""Until access that is over is no longer marked active: well below a minute."""

CONFLICTS_AGAIN_SECONDS: Final = 30.0
"""Until conflicts that PostgreSQL did not take are tried again."""

ENDING_SOON_SECONDS: Final = 60.0
"""Between two looks for access that ends within a week."""

EXPIRED_KEYS_SECONDS: Final = 3600.0
"""Between two removals of expired idempotency keys, which nothing waits for."""

FIRST_PLANS_SECONDS: Final = 5.0
"""Between two looks for the first plans. It is shorter than ``OUTDATED_SECONDS``, the snooze of
events that wait for them."""

NUMBERING_SECONDS: Final = 0.2
"""Between two looks for entitlement changes that have no number."""

NUMBERING_FAILED_SECONDS: Final = 1.0
"""The pause after a failure to number them: longer than the one above."""

MAX_NUMBERING_REST_SECONDS: Final = 2.0
"""The longest pause of a numbering that a slow database holds up."""

DATABASE_STATE_SECONDS: Final = 5.0
"""The age at which PostgreSQL's part of the metrics is read again; an unreachable server is not
asked more often."""

STALE_DATABASE_STATE_SECONDS: Final = 30.0
"""The age at which it is not shown any more. It outlasts a read that waits for a frozen server."""

METRICS_RETRY_SECONDS: Final = 10.0
"""Between two attempts to write the counts that a full metrics folder left in memory."""

HISTORY_SHORT_SECONDS: Final = 10
"""Between two reports of a process to the history, and the length of its short intervals."""

HISTORY_LONG_SECONDS: Final = 300
"""The length of its long intervals, a multiple of the short ones."""

HISTORY_SPREAD_SECONDS: Final = 2.0
"""In which the processes report after the end of a short interval. With the wait for Redis it is
shorter than half of one, after which a report would count for the next interval."""

HISTORY_REDIS_SECONDS: Final = 2.0
"""For one answer of Redis to a report or to a page; what is late is left out."""

SCRAPE_SECONDS: Final = 10.0
"""For the request of a scraper: one that sends nothing holds a thread no longer."""

FACTS_UPGRADE_LOOK_SECONDS: Final = 60.0
"""Between two looks for what an earlier release read, once nothing was left: one of its workers may
still write."""

ARCHIVE_UPDATES_LOOK_SECONDS: Final = 0.5
"""Between two looks for archives to update in steps, once none was left or an event had the lock of
their party. Until the last step, old payments count for whom they counted before."""

WHOLE_UPDATE_IDLE_SECONDS: Final = 60.0
"""A pause of a transaction that updates all archives of a party at once. It computes for seconds,
and nothing but events of that party wait for it."""

FAILED_UPDATE_AGAIN_SECONDS: Final = 30.0
"""Until the archives of a party are updated again after a step failed. Those of others do not wait
for it, and the log names the error no more often."""

# Processes -------------------------------------------------------------------------------------

POOL_LOOK_SECONDS: Final = 0.1
"""Between two looks whether the pools run. It is shorter than a heartbeat, so the claim of a dead
process ends before its lease does."""

ZOMBIE_LOOK_SECONDS: Final = 2.0
"""Between two looks for ended processes to reap. Who waits for one has so long to ask for its exit
code, and asks more often: see ``POOL_LOOK_SECONDS``."""

POOL_STARTS_APART_SECONDS: Final = 2.0
"""A pool that cannot start (wrong settings) must not use up a CPU by trying. A pool that worked and
died is replaced at once, because due events wait for it."""

FALLBACK_AFTER_SECONDS: Final = 10.0
"""After this without a claim while events are due, a process drains without wake-ups.

It is longer than the start of a pool, and shorter than ``POOL_STUCK_SECONDS``: a full Redis is no
outage, and a pool that no wake-up reaches is not at fault.
"""

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

THREAD_STOP_SECONDS: Final = 5.0
"""For each thread of a supervisor that stops; it holds no event, so it may be cut off."""

VISIBILITY_SECONDS: Final = 150
"""After this Celery hands an unacknowledged wake-up to another worker: longer than any task."""

# Processes that end with their parent ----------------------------------------------------------

PARENT_LOOK_SECONDS: Final = 0.2
"""Between two looks at the parent. A server whose parent died keeps its port that long."""

SERVER_ORPHAN_SECONDS: Final = 1.0
"""A server process whose launcher is gone may take this long to end after SIGTERM."""

PORT_SECONDS: Final = 3.0
"""A server that starts waits so long for its port. It outlasts the two above: the processes of a
launcher that was killed hold the port until they have ended."""

# The read API ----------------------------------------------------------------------------------

CHANGE_WAIT_SECONDS: Final = 25
"""The longest that a request may wait for a change. Proxies give up after 30 s or more."""

# Bulk plans ------------------------------------------------------------------------------------

BULK_LEASE_SECONDS: Final = 15.0
"""After this without a heartbeat, another process goes on with a plan. It outlasts an answer of
PostgreSQL and a step of a preview."""

BULK_SAVE_SECONDS: Final = 0.5
"""Between two saves of results, which renew the lease and notice a pause. Many fit into a lease."""

BULK_LOOK_SECONDS: Final = 0.5
"""Between two looks of the supervisor for plans that no living process works on."""

BULK_AGAIN_SECONDS: Final = 5.0
"""Until the process of a plan that ended at once is started again."""

RECONCILE_LOOK_SECONDS: Final = 60.0
"""Between two looks of the supervisor for a comparison with Stripe that is due: the shortest turn
of the schedule is half an hour."""

# Runs that ask Stripe about much ----------------------------------------------------------------

STRIPE_RUN_LEASE_SECONDS: Final = 30.0
"""After this without a heartbeat, another process goes on with a run. It outlasts the transaction
that stores a page, which renews the lease at its end, and a wait for a lock within it."""

STRIPE_RUN_BEAT_SECONDS: Final = 5.0
"""Between two heartbeats while no page comes, because Stripe pauses us. Several fit in a lease."""

STRIPE_RUN_LOOK_SECONDS: Final = 0.2
"""Between two looks whether a person stopped the run."""

STRIPE_SETTLE_SECONDS: Final = 2
"""How far behind Stripe's clock the newest end of a range stays, in whole seconds: objects of the
current second may still come, and a page that was read would then miss them."""

STRIPE_AGAIN_SECONDS: Final = (1.0, 2.0, 4.0, 8.0, 16.0)
"""The pauses before a page is asked for again that Stripe did not answer. After the last one its
range stays undone, and the run says so."""
