"""Check that no failover of PostgreSQL can lose what was committed."""

from collections.abc import Iterator

from sqlalchemy import Connection, text

from ops.doctor.findings import Finding, ok, warning

_CHECK = "PostgreSQL standby"

_STANDBYS = text(
    "SELECT coalesce(nullif(application_name, ''), 'unnamed') AS name, sync_state,"
    " replay_lag, coalesce(pg_current_wal_lsn() - flush_lsn, 0)::bigint AS behind"
    " FROM pg_stat_replication WHERE state IN ('streaming', 'catchup') AND sync_state IS NOT NULL"
    " ORDER BY application_name, pid"
)
"""Only superusers and members of pg_monitor see the state; for others it is null."""

_HIDDEN = text("SELECT count(*) FROM pg_stat_replication WHERE sync_state IS NULL")


def check_standby(connection: Connection) -> Iterator[Finding]:
    """Name each asynchronous standby; yield nothing for a primary without a standby."""
    if connection.scalar(text("SELECT pg_is_in_recovery()")):
        return
    standbys = connection.execute(_STANDBYS).all()
    synchronous = [row for row in standbys if row.sync_state in ("sync", "quorum")]
    for row in standbys:
        if row.sync_state == "async":
            yield _of_asynchronous(row.name, row.behind, beside_synchronous=bool(synchronous))
    if synchronous:
        names = ", ".join(row.name for row in synchronous)
        yield ok(_CHECK, f"commits wait for {names}")
    elif connection.scalar(_HIDDEN):
        says = "there is one, and this role may not see if it is synchronous"
        yield warning(_CHECK, f"{says}: grant it pg_monitor, or ask its operator")


def _of_asynchronous(name: str, behind: int, *, beside_synchronous: bool) -> Finding:
    says = f"{name} is asynchronous and {behind} bytes behind"
    if beside_synchronous:
        return warning(_CHECK, f"{says}: promote a synchronous one before it")
    loses = "a failover to it loses what it has not received"
    return warning(_CHECK, f"{says}: {loses}; name it in synchronous_standby_names")
