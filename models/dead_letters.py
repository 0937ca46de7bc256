from datetime import datetime
from typing import Any

from sqlalchemy import Computed, Index, Integer, text
from sqlalchemy.orm import Mapped, mapped_column

from models.base import BY_PREFIX, Base, one_of

STATES = ("open", "replayed", "discarded")

ERROR_GROUP = (
    "md5(coalesce(type, ''::text) || ' '::text || error_type || ' '::text || regexp_replace("
    "split_part(error, chr(10), 1), '\\w*\\d\\w*'::text, '#'::text, 'g'::text))"
)
"""A hash of the event's type, the error's type and its first line without ids and numbers."""


class DeadLetter(Base):
    """An event that could not be applied, kept whole until an operator decides.

    ``event_id`` is the key in the inbox, which for a conflict is more than the id. ``history`` is
    the list of earlier failures of a dead letter that was replayed and failed again.
    ``error_group`` is the same for dead letters that failed alike.
    """

    __tablename__ = "dead_letters"
    __table_args__ = (
        one_of("state", STATES),
        Index("dead_letters_state_idx", "state", "last_failed_at", "event_id"),
        Index("dead_letters_prefix_idx", "event_id", postgresql_ops={"event_id": BY_PREFIX}),
        Index("dead_letters_group_idx", "state", "error_group", "last_failed_at", "event_id"),
        Index("dead_letters_first_failed_at_idx", "state", "error_group", "first_failed_at"),
    )

    event_id: Mapped[str] = mapped_column(primary_key=True)
    type: Mapped[str | None]
    payload: Mapped[str]
    error_type: Mapped[str]
    error: Mapped[str]
    attempts: Mapped[int] = mapped_column(Integer)
    received_at: Mapped[datetime | None]
    first_failed_at: Mapped[datetime]
    last_failed_at: Mapped[datetime]
    state: Mapped[str] = mapped_column(server_default=text("'open'"))
    resolved_at: Mapped[datetime | None]
    resolved_by: Mapped[str | None]
    reason: Mapped[str | None]
    history: Mapped[list[Any]] = mapped_column(server_default=text("'[]'::jsonb"))
    error_group: Mapped[str] = mapped_column(Computed(ERROR_GROUP, persisted=True))
