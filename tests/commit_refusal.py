"""A server that refuses a role at COMMIT, as Neon does: its control plane hears of a role then."""

import psycopg
import pytest
from psycopg import errors

from runtime.database.deadline import DeadlineConnection
from runtime.roles import APPLICATION_ROLE


def refuse_services_role(monkeypatch: pytest.MonkeyPatch, admin_url: str) -> None:
    """Roll back each transaction of this process that creates the role, and raise Neon's error."""
    commit = DeadlineConnection.commit

    def refuse(connection: DeadlineConnection) -> None:
        seen = "SELECT FROM pg_roles WHERE rolname = %s"
        with psycopg.connect(admin_url) as admin:
            outside = admin.execute(seen, (APPLICATION_ROLE,)).rowcount
        if connection.execute(seen, (APPLICATION_ROLE,)).rowcount > outside:
            connection.rollback()
            raise errors.InternalError_("only plaintext passwords\nfor URL: http://...")
        commit(connection)

    monkeypatch.setattr(DeadlineConnection, "commit", refuse)
