"""The database epoch, what PostgreSQL remembers of Redis, and the reports of lost data."""

from datetime import datetime

from sqlalchemy import BigInteger, Boolean, CheckConstraint, Identity, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from models.base import UPDATED_OFTEN, Base, one_of

SERVERS = ("postgresql", "redis")


class DatabaseEpoch(Base):
    """The one row that names the state of this database, and what it remembers of Redis.

    ``epoch`` is random. It is replaced when settlements were lost or the database was restored, so
    that no done marker written before counts any more.
    """

    __tablename__ = "database_epoch"
    __table_args__ = (
        CheckConstraint("one_row", name="one_row"),
        {"postgresql_with": UPDATED_OFTEN},
    )

    one_row: Mapped[bool] = mapped_column(
        Boolean, primary_key=True, autoincrement=False, server_default=text("true")
    )
    epoch: Mapped[str] = mapped_column(server_default=text("(gen_random_uuid())::text"))
    replaced_at: Mapped[datetime] = mapped_column(server_default=text("now()"))
    inbox_epoch: Mapped[str | None]
    newest_accept: Mapped[int] = mapped_column(server_default=text("0"))


class DataLoss(Base):
    """A report that a server went back in time.

    PostgreSQL: what was settled after ``kept_until`` is not there, unless it was settled again;
    ``complete`` says whether ``lost_settlements`` lists all that was lost. Redis: the accepts
    ``first_accept`` (NULL if unknown) to ``last_accept`` of ``inbox_epoch`` are lost.
    """

    __tablename__ = "data_losses"
    __table_args__ = (one_of("server", SERVERS),)

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    server: Mapped[str]
    noticed_at: Mapped[datetime] = mapped_column(server_default=text("now()"))
    kept_until: Mapped[datetime | None]
    complete: Mapped[bool]
    inbox_epoch: Mapped[str | None] = mapped_column(unique=True)
    first_accept: Mapped[int | None]
    last_accept: Mapped[int | None]
    closed_at: Mapped[datetime | None]


class LostSettlement(Base):
    """A settled event whose row the database lost; it is back once ``stripe_events`` has its id."""

    __tablename__ = "lost_settlements"
    __table_args__ = (Index("lost_settlements_loss_id_idx", "loss_id"),)

    event_id: Mapped[str] = mapped_column(primary_key=True)
    settlement: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    loss_id: Mapped[int]
    settled_at: Mapped[datetime]
