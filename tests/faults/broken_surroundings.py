"""Break what every event needs in PostgreSQL; each function returns what mends it."""

from collections.abc import Callable
from datetime import timedelta

import sqlalchemy as sa

from runtime.inbox.entries import Breaker
from tests.faults.fault_env import FaultSite

EVENTS = 40
RENEWED = timedelta(seconds=3)
"""An open breaker that lasts longer by this has failed several probes."""


def run_sql(site: FaultSite, *statements: str) -> None:
    with site.engine.begin() as connection:
        for statement in statements:
            connection.execute(sa.text(statement))


def with_setting(site: FaultSite, change: str) -> None:
    """Change a setting of this database's sessions, and end those that are open, except ours."""
    name = site.database_url.rsplit("/", 1)[1]
    run_sql(
        site,
        "SET LOCAL transaction_read_only = off",
        f"ALTER DATABASE {name} {change}",
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()",
    )


def forbid_writing(site: FaultSite) -> Callable[[], None]:
    with_setting(site, "SET default_transaction_read_only = on")
    return lambda: with_setting(site, "RESET default_transaction_read_only")


def revoke_a_right(site: FaultSite) -> Callable[[], None]:
    run_sql(site, "REVOKE INSERT ON payment_events FROM CURRENT_USER")
    return lambda: run_sql(site, "GRANT INSERT ON payment_events TO CURRENT_USER")


def rename_a_column(site: FaultSite) -> Callable[[], None]:
    run_sql(site, "ALTER TABLE audit_logs RENAME COLUMN origin TO came_from")
    return lambda: run_sql(site, "ALTER TABLE audit_logs RENAME COLUMN came_from TO origin")


def exhaust_a_sequence(site: FaultSite) -> Callable[[], None]:
    sequence = "pg_get_serial_sequence('stripe_events', 'settlement')"
    column = "ALTER TABLE stripe_events ALTER COLUMN settlement"
    run_sql(site, f"{column} SET MAXVALUE 1000000 RESTART 1000000", f"SELECT nextval({sequence})")
    return lambda: run_sql(site, f"{column} SET NO MAXVALUE")


def open_breaker(site: FaultSite) -> Breaker:
    """Return the breaker, which must be open."""
    breaker = site.inbox.breaker()
    assert breaker is not None, "it was closed"
    return breaker
