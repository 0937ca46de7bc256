"""Probe PostgreSQL with a write that is rolled back, to decide if the breaker may close.

A probe that only reads would call a read-only database healthy, and every event would fail again.
"""

from typing import Final
from uuid import uuid4

import sqlalchemy as sa
from sqlalchemy.engine import Engine

from models.tables import Membership
from runtime.failures.classify import Infrastructure, classify

REOPEN_SECONDS: Final = 30.0
"""Each failed probe renews this time; without a supervisor the breaker closes when it is over."""


def probe_database(engine: Engine) -> Infrastructure | None:
    """Return the failure that keeps the server from taking writes, or None; leave no trace."""
    key = f"probe:{uuid4().hex}"
    try:
        with engine.connect() as connection:
            connection.execute(sa.insert(Membership).values(object_key=key, party=key))
            connection.rollback()
    except Exception as error:  # noqa: BLE001 - classify sorts them
        failure = classify(error)
        return failure if isinstance(failure, Infrastructure) else None
    return None
