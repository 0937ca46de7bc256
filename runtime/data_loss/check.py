"""Compare what Redis and PostgreSQL remember of each other, and act on what either lost.

If PostgreSQL went back in time, report each lost settlement by its event id, replace the database
epoch, which voids every done marker, and put the events whose bodies Redis still has into the inbox
again. If Redis did, report which accepts are lost: only Stripe has them. Every step can be
repeated, so the next check does what one left undone.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, Engine

from runtime.data_loss.accepts import report_lost_accepts
from runtime.data_loss.settlements import (
    DatabaseMemory,
    LostInDatabase,
    missing,
    read_memory,
    record_lost,
    remember_accepts,
    replace_epoch,
)
from runtime.inbox.entries import LostAccepts
from runtime.inbox.recent import RecentEvents, RecentSettlement, Survey


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """The findings of one check, and what it did about them."""

    database_epoch: str
    lost: LostInDatabase | None = None
    requeued: int = 0
    """Events that are in the inbox again."""
    wakes: tuple[str, ...] = ()
    """Wake-ups for which the caller must publish a message."""
    lost_accepts: tuple[LostAccepts, ...] = ()
    """Losses without an earlier report."""


def check_data(recent: RecentEvents, engine: Engine, *, restored: bool = False) -> Checked:
    """Check both servers; with ``restored`` void the done markers even if nothing is missing.

    Raises:
        ReadOnlyDatabase: the session cannot write, so nothing was decided.
        RedisError, SQLAlchemyError: a server is away; the next check does it all.
    """
    # Redis first: what it remembers then was committed before, so the database must show it.
    survey = recent.survey()
    try:
        with engine.begin() as connection:
            memory = read_memory(connection)
            accepts = _compare_accepts(connection, recent, survey, memory)
            database_lost = bool(missing(connection, survey.newest))
    except Exception:
        # The inbox grows while the database is away: waiting events need the memory first.
        recent.make_room()
        raise
    if database_lost or restored or not memory.epoch:
        return _replace(recent, engine, accepts)
    recent.confirm(survey, memory.epoch)
    return Checked(database_epoch=memory.epoch, lost_accepts=accepts)


def _compare_accepts(
    connection: Connection, recent: RecentEvents, survey: Survey, memory: DatabaseMemory
) -> tuple[LostAccepts, ...]:
    known = {loss.inbox_epoch: loss for loss in survey.lost_accepts if loss.open}
    now, before = (survey.inbox_epoch, survey.newest_accept), memory.inbox_epoch
    if before is not None and (now[0] != before or now[1] < memory.newest_accept):
        loss = recent.compare(before, memory.newest_accept, counted=now[1])
        if loss.open:
            known[before] = loss
    if now != (before, memory.newest_accept) and recent.is_on_replicas():
        remember_accepts(connection, *now)
    return report_lost_accepts(connection, known.values())


def _replace(recent: RecentEvents, engine: Engine, accepts: tuple[LostAccepts, ...]) -> Checked:
    remembered = recent.settled()
    with engine.begin() as connection:
        epoch = replace_epoch(connection)
        gone = missing(connection, remembered)
        lost = record_lost(connection, remembered, gone) if gone else None
    # The lost ones are forgotten last: a check that breaks off before is done again, and so nothing
    # that can be brought back stays behind.
    recent.void_done_markers(epoch)
    entered, wakes = recent.requeue_recent(min(each.left_at for each in gone)) if gone else (0, ())
    recent.forget(epoch, remembered, _without(remembered, gone))
    return Checked(
        database_epoch=epoch, lost=lost, requeued=entered, wakes=wakes, lost_accepts=accepts
    )


def _without(
    remembered: Sequence[RecentSettlement], gone: Sequence[RecentSettlement]
) -> list[RecentSettlement]:
    entries = {each.entry for each in gone}
    return [each for each in remembered if each.entry not in entries]
