"""The oldest release of Paidup that may run on this schema."""

from sqlalchemy import Boolean, CheckConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base


class SchemaRelease(Base):
    """One row, which each migration writes; the services can read it and not change it."""

    __tablename__ = "schema_release"
    __table_args__ = (CheckConstraint("one_row", name="one_row"),)

    one_row: Mapped[bool] = mapped_column(
        Boolean, primary_key=True, autoincrement=False, server_default=text("true")
    )
    oldest_release: Mapped[str]
