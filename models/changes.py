"""Entitlement changes on their way to readers: kept when they happen, numbered afterwards.

Numbers of rows are given before COMMIT, so a reader who remembers the highest one would miss
those that commit late. A cursor is given after COMMIT, by one process at a time.
"""

from sqlalchemy import CheckConstraint
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base


class WaitingChange(Base):
    """A change that has no cursor yet; a trigger on ``audit_logs`` inserts it."""

    __tablename__ = "waiting_changes"

    audit_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)


class NumberedChange(Base):
    """The place of a change in the one order that all readers see, without gaps."""

    __tablename__ = "numbered_changes"
    __table_args__ = (CheckConstraint("cursor > 0", name="cursor"),)

    cursor: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    audit_id: Mapped[int] = mapped_column(unique=True)
