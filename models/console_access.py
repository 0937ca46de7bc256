"""The sessions of people who are logged in to the console, and the windows of its audit."""

from datetime import datetime

from sqlalchemy import Index, text
from sqlalchemy.orm import Mapped, mapped_column

from models.base import UPDATED_OFTEN, Base, one_of

WAYS_IN = ("token", "oidc")
AUDIT_WINDOWS = ("failed_login", "look")


class ConsoleSession(Base):
    """One login of a person; ``ops/console/access/sessions.py`` alone reads and writes it.

    ``digest`` is the SHA-256 of the secret that the cookie carries, ``credential`` names that by
    which the person was let in, so that the session ends with it.
    """

    __tablename__ = "console_sessions"
    __table_args__ = (
        one_of("how", WAYS_IN),
        Index("console_sessions_person_idx", "person", postgresql_where=text("ended_at IS NULL")),
        {"postgresql_with": UPDATED_OFTEN},
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    digest: Mapped[str] = mapped_column(unique=True)
    person: Mapped[str]
    role: Mapped[str]
    how: Mapped[str]
    credential: Mapped[str]
    source: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(server_default=text("now()"))
    last_seen_at: Mapped[datetime] = mapped_column(server_default=text("now()"))
    expires_at: Mapped[datetime] = mapped_column(index=True)
    ended_at: Mapped[datetime | None]
    ended_by: Mapped[str | None]


class ConsoleAuditWindow(Base):
    """An entry of the audit for a span of time, so that all consoles together audit it once.

    A ``failed_login`` is of a source and a minute, a ``look`` of a person, a subject and an hour.
    """

    __tablename__ = "console_audit_windows"
    __table_args__ = (one_of("kind", AUDIT_WINDOWS),)

    kind: Mapped[str] = mapped_column(primary_key=True)
    subject: Mapped[str] = mapped_column(primary_key=True)
    begins_at: Mapped[datetime] = mapped_column(primary_key=True)
    tries: Mapped[int] = mapped_column(server_default=text("1"))
