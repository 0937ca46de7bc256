"""Read the reports of lost data for people, and close them."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, text

from runtime.inbox.entries import LostAccepts


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseLoss:
    """A report that PostgreSQL went back in time."""

    noticed_at: datetime
    settlements: int
    """How many lost settlements are known by their event ids."""
    still_missing: tuple[str, ...]
    """Ids of those events that were not settled again."""
    complete: bool
    kept_until: datetime | None
    closed: bool

    @property
    def open(self) -> bool:
        """True while events are missing, or may be."""
        return bool(self.still_missing) or not (self.complete or self.closed)


@dataclass(frozen=True, slots=True, kw_only=True)
class Losses:
    """All open reports, oldest first."""

    database: tuple[DatabaseLoss, ...] = ()
    accepts: tuple[LostAccepts, ...] = ()

    @property
    def missing(self) -> tuple[str, ...]:
        """Ids of the settled events that PostgreSQL lost and that are not back."""
        return tuple(sorted({each for loss in self.database for each in loss.still_missing}))

    def with_accepts(self, known_to_redis: Iterable[LostAccepts]) -> "Losses":
        """Add what Redis itself knows of its losses and no worker has reported yet."""
        epochs = {loss.inbox_epoch for loss in self.accepts}
        further = (loss for loss in known_to_redis if loss.open and loss.inbox_epoch not in epochs)
        return Losses(database=self.database, accepts=(*self.accepts, *further))


_DATABASE = text(
    "SELECT noticed_at, complete, kept_until, closed_at IS NOT NULL AS closed,"
    " (SELECT count(*) FROM lost_settlements WHERE loss_id = loss.id) AS settlements,"
    " ARRAY(SELECT DISTINCT event_id FROM lost_settlements AS lost WHERE loss_id = loss.id"
    "  AND NOT EXISTS (SELECT FROM stripe_events WHERE id = lost.event_id) ORDER BY 1) AS missing"
    " FROM data_losses AS loss WHERE server = 'postgresql' ORDER BY loss.id"
)
_ACCEPTS = text(
    "SELECT inbox_epoch, noticed_at, coalesce(first_accept, 0) AS first, last_accept AS last"
    " FROM data_losses WHERE server = 'redis' AND closed_at IS NULL ORDER BY id"
)
_CLOSE = text("UPDATE data_losses SET closed_at = now() WHERE closed_at IS NULL")
_MISSING = text(
    "SELECT count(DISTINCT event_id) FROM lost_settlements AS lost"
    " WHERE NOT EXISTS (SELECT FROM stripe_events WHERE id = lost.event_id)"
)
_OPEN_SETTLEMENTS = text(
    "SELECT count(*) FROM data_losses"
    " WHERE server = 'postgresql' AND NOT complete AND closed_at IS NULL"
)
_OPEN_ACCEPTS = text(
    "SELECT count(*) FROM data_losses WHERE server = 'redis' AND closed_at IS NULL"
)


def read_losses(connection: Connection) -> Losses:
    """Return the open reports."""
    found = (
        DatabaseLoss(
            noticed_at=row.noticed_at,
            settlements=row.settlements,
            still_missing=tuple(row.missing),
            complete=row.complete,
            kept_until=row.kept_until,
            closed=row.closed,
        )
        for row in connection.execute(_DATABASE)
    )
    accepts = (LostAccepts(**row) for row in connection.execute(_ACCEPTS).mappings())
    return Losses(database=tuple(loss for loss in found if loss.open), accepts=tuple(accepts))


def count_missing(connection: Connection) -> int:
    """Return how many settled events are lost and not back."""
    return int(connection.execute(_MISSING).scalar_one())


def count_open_settlements(connection: Connection) -> int:
    """Return how many open reports say that PostgreSQL may have lost more than they name."""
    return int(connection.execute(_OPEN_SETTLEMENTS).scalar_one())


def count_open_accepts(connection: Connection) -> int:
    """Return how many losses of Redis an operator has not closed yet."""
    return int(connection.execute(_OPEN_ACCEPTS).scalar_one())


def close_reports(connection: Connection) -> int:
    """Close every report, and return how many; a lost settlement that is not back stays listed."""
    return connection.execute(_CLOSE).rowcount
