from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, Integer, text
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base


class StoredCatalogue(Base):
    """A version of the plans; the highest one is in force, none is ever changed."""

    __tablename__ = "catalogues"
    __table_args__ = (CheckConstraint("version > 0", name="version"),)

    version: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    document: Mapped[dict[str, Any]]
    sha256: Mapped[str]
    applied_at: Mapped[datetime] = mapped_column(server_default=text("now()"))
    applied_by: Mapped[str]
    reason: Mapped[str | None]
