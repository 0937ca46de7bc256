"""Ask PostgreSQL for settled events by name, and record those that it lost."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, TypeVar

from sqlalchemy import Connection, insert, select, text
from sqlalchemy.dialects.postgresql import insert as insert_or_skip

from models.tables import DataLoss, LostSettlement, StripeEvent
from runtime.changes.feed import read_newest
from runtime.changes.notification import notify
from runtime.inbox.recent import RecentSettlement

_ASKED_AT_ONCE: Final = 5000

T = TypeVar("T")


class ReadOnlyDatabase(Exception):
    """The session cannot write: what it does not show may still be on the primary."""

    def __init__(self) -> None:
        super().__init__("this PostgreSQL session is read-only: connect to the primary")


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseMemory:
    """The database's epoch, and the inbox epoch and accept that it remembers of Redis."""

    epoch: str
    inbox_epoch: str | None
    newest_accept: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LostInDatabase:
    """Settlements that the database lost, as far as Redis remembers them."""

    settlements: tuple[RecentSettlement, ...]
    """Oldest first."""
    complete: bool
    """False if older ones may be lost, too: Redis does not remember far enough back."""
    kept_until: datetime | None
    """The time of the newest settlement that is left."""


# As for the ledger's queries: everything is looked up by key.
_REMEMBERED = text(
    "SELECT set_config('enable_seqscan', 'off', true), epoch, inbox_epoch, newest_accept,"
    " pg_is_in_recovery() OR current_setting('transaction_read_only')::boolean AS read_only"
    " FROM (SELECT) AS always LEFT JOIN database_epoch ON true"
)
_REPLACE = text(
    "INSERT INTO database_epoch DEFAULT VALUES ON CONFLICT (one_row) DO UPDATE"
    " SET epoch = gen_random_uuid()::text, replaced_at = now() RETURNING epoch"
)
_REMEMBER = text(
    "UPDATE database_epoch SET inbox_epoch = :inbox_epoch, newest_accept = :newest_accept"
)


def read_memory(connection: Connection) -> DatabaseMemory:
    """Return what the database remembers.

    Raises:
        ReadOnlyDatabase: the session is one of a standby, or may not write.
    """
    row = connection.execute(_REMEMBERED).one()
    if row.read_only:
        raise ReadOnlyDatabase
    return DatabaseMemory(
        epoch=row.epoch or "", inbox_epoch=row.inbox_epoch, newest_accept=row.newest_accept or 0
    )


def remember_accepts(connection: Connection, inbox_epoch: str, newest_accept: int) -> None:
    """Keep the inbox epoch and the newest accept, to compare Redis with them later."""
    connection.execute(_REMEMBER, {"inbox_epoch": inbox_epoch, "newest_accept": newest_accept})


def replace_epoch(connection: Connection) -> str:
    """Give the database another epoch, and return it; two callers take turns.

    Applications are notified: under it their cursors and versions count no more.
    """
    epoch: str = connection.execute(_REPLACE).scalar_one()
    notify(connection, cursor=read_newest(connection).cursor, changes=0, epoch=epoch, users={})
    return epoch


def missing(
    connection: Connection, settlements: Sequence[RecentSettlement]
) -> list[RecentSettlement]:
    """Return those whose row is missing, or has the number of a later settlement."""
    lost: list[RecentSettlement] = []
    for asked in _portions(settlements):
        query = select(StripeEvent.id, StripeEvent.settlement)
        rows = connection.execute(
            query.where(StripeEvent.id.in_([each.event_id for each in asked]))
        )
        there = {(row.id, row.settlement) for row in rows}
        lost += [each for each in asked if (each.event_id, each.settlement) not in there]
    return lost


def record_lost(
    connection: Connection, remembered: Sequence[RecentSettlement], lost: Sequence[RecentSettlement]
) -> LostInDatabase:
    """Report these settlements as lost, and return the report; a second time it reports nothing."""
    newest = select(StripeEvent.applied_at).order_by(StripeEvent.settlement.desc()).limit(1)
    kept_until = connection.scalar(newest)
    complete = remembered[0].entry != lost[0].entry
    known = _already_reported(connection, lost)
    fresh = [each for each in lost if (each.event_id, each.settlement) not in known]
    if fresh:
        _report(connection, fresh, complete=complete, kept_until=kept_until)
    return LostInDatabase(settlements=tuple(lost), complete=complete, kept_until=kept_until)


def _already_reported(
    connection: Connection, lost: Sequence[RecentSettlement]
) -> set[tuple[str, int]]:
    known: set[tuple[str, int]] = set()
    for asked in _portions(lost):
        query = select(LostSettlement.event_id, LostSettlement.settlement).where(
            LostSettlement.event_id.in_([each.event_id for each in asked])
        )
        known |= {(row.event_id, row.settlement) for row in connection.execute(query)}
    return known


def _report(
    connection: Connection,
    lost: Sequence[RecentSettlement],
    *,
    complete: bool,
    kept_until: datetime | None,
) -> None:
    report = {"server": "postgresql", "complete": complete, "kept_until": kept_until}
    loss_id = connection.scalar(insert(DataLoss).values(report).returning(DataLoss.id))
    rows: list[dict[str, Any]] = [
        {
            "event_id": each.event_id,
            "settlement": each.settlement,
            "loss_id": loss_id,
            "settled_at": each.left_at,
        }
        for each in lost
    ]
    # An event may be in the list twice, because a duplicate of it was settled as a hit. All rows
    # of one call have one deadline, and 200,000 would take about as long as it lasts.
    for some in _portions(rows):
        connection.execute(insert_or_skip(LostSettlement).on_conflict_do_nothing(), some)


def _portions(items: Sequence[T]) -> Iterator[Sequence[T]]:
    for start in range(0, len(items), _ASKED_AT_ONCE):
        yield items[start : start + _ASKED_AT_ONCE]
