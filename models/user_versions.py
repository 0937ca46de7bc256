"""The version of each user's entitlements: it tells a reader which of two answers is newer."""

from datetime import datetime

from sqlalchemy import Index
from sqlalchemy.orm import Mapped, mapped_column

from models.base import BY_PREFIX, UPDATED_OFTEN, Base


class UserVersion(Base):
    """The number of steps that changed a row of ``user_entitlements`` of this user.

    It also stays for a user who has no row any more, and nothing resets it. The views add the
    database epoch, under which it counts.
    """

    __tablename__ = "user_versions"
    __table_args__ = (
        Index("user_versions_prefix_idx", "user_id", postgresql_ops={"user_id": BY_PREFIX}),
        {"postgresql_with": UPDATED_OFTEN},
    )

    user_id: Mapped[str] = mapped_column(primary_key=True)
    version: Mapped[int]
    changed_at: Mapped[datetime]
