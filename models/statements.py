"""Statements of people: grants and links, made or ended. Rows are added and never changed."""

from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, Index
from sqlalchemy.orm import Mapped, mapped_column

from models.base import BY_PREFIX, Base, one_of

STATEMENT_KINDS = ("grant", "grant_ended", "link", "link_ended")


class StoredStatement(Base):
    """A grant or a link that a person made or ended, with the person and the reason.

    ``subject`` is the id of the grant or link, and ``target`` what a link links. ``says`` holds
    what a grant gives and for how long.
    """

    __tablename__ = "operator_statements"
    __table_args__ = (
        one_of("kind", STATEMENT_KINDS),
        CheckConstraint("reason ~ '[^[:space:]]'", name="reason"),
        CheckConstraint("actor ~ '[^[:space:]]'", name="actor"),
        Index("operator_statements_subject_idx", "subject", postgresql_ops={"subject": BY_PREFIX}),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    kind: Mapped[str]
    subject: Mapped[str]
    realm: Mapped[str]
    user_id: Mapped[str] = mapped_column(index=True)
    target: Mapped[str | None] = mapped_column(index=True)
    says: Mapped[dict[str, Any]]
    actor: Mapped[str]
    reason: Mapped[str]
    made_at: Mapped[datetime]
