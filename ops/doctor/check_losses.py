"""Report settled and accepted events that a server lost when it went back in time."""

from collections.abc import Iterator
from typing import Final

from sqlalchemy import Connection

from ops.doctor.findings import Finding, ok, problem
from ops.status.losses import describe_accepts, describe_database
from runtime.data_loss.reports import read_losses

_CHECK: Final = "lost data"


def check_losses(connection: Connection) -> Iterator[Finding]:
    """Report what was lost and is not back, by event id where the ids are known."""
    losses = read_losses(connection)
    yield from (problem(_CHECK, describe_database(loss)) for loss in losses.database)
    yield from (problem(_CHECK, describe_accepts(loss)) for loss in losses.accepts)
    if not losses.database and not losses.accepts:
        yield ok(_CHECK, "no event is known to be lost")
