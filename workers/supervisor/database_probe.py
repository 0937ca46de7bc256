"""Closes the breaker again: a probe writes to PostgreSQL and takes it back.

A read alone would call a read-only database healthy, and then every event would fail once more.
"""

from typing import Final
from uuid import uuid4

import sqlalchemy as sa
from sqlalchemy.engine import Engine

from models.tables import Membership
from runtime.failures.classify import Infrastructure, classify

REOPEN_SECONDS: Final = 30.0
"""Renewed with each probe that fails; without any supervisor the breaker ends by itself."""


def outage(engine: Engine) -> Infrastructure | None:
    """What keeps PostgreSQL from taking a write, if it is the server; nothing is left behind."""
    key = f"probe:{uuid4().hex}"
    try:
        with engine.connect() as connection:
            connection.execute(sa.insert(Membership).values(object_key=key, party=key))
            connection.rollback()
    except Exception as error:  # noqa: BLE001 - whatever it is, it is told apart
        failure = classify(error)
        return failure if isinstance(failure, Infrastructure) else None
    return None
