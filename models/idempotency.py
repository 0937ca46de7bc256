"""Idempotency keys: the result that a repeated call gets instead of a second effect."""

from datetime import datetime

from sqlalchemy import text
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base


class IdempotencyKey(Base):
    """One carried out call of an operation; ``runtime/idempotency.py`` alone reads and writes it.

    ``scope`` names the client that chose the key, ``fingerprint`` is a hash of the request, and
    ``result`` is JSON text.
    """

    __tablename__ = "idempotency_keys"

    operation: Mapped[str] = mapped_column(primary_key=True)
    scope: Mapped[str] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    fingerprint: Mapped[str]
    result: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(server_default=text("now()"))
    expires_at: Mapped[datetime] = mapped_column(index=True)
