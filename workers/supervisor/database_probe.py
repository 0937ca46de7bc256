"""Probe PostgreSQL with a write that is rolled back, to decide if the breaker may close.

A probe that only reads would call a read-only database healthy, and every event would fail again.
"""

from uuid import uuid4

import sqlalchemy as sa
from sqlalchemy.engine import Engine

from models.tables import Membership
from runtime.failures.classify import Infrastructure, classify


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
