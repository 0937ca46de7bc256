"""Bulk actions: fixed sets of events, what a preview showed of them, and how far they have come."""

from datetime import datetime
from typing import Any

from sqlalchemy import Float, Identity, Index, Integer, func, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from models.base import UPDATED_OFTEN, Base, one_of

ACTIONS = ("replay", "discard")
PLAN_STATES = (
    "planned",
    "previewing",
    "previewed",
    "waiting",
    "running",
    "paused",
    "cancelled",
    "done",
)
LEASED_STATES = ("previewing", "running")
"""The states in which a process has work to do for the plan."""

ITEM_STATES = ("waiting", "done", "skipped", "failed")
DIFFERENCE_KINDS = ("entitlement", "payment")

LEASED = text("state IN ('previewing', 'running')")
APPROVAL_BYPASSED = text("bypassed_by IS NOT NULL")
NEEDS_ATTENTION = text("state IN ('skipped', 'failed')")


class BulkPlan(Base):
    """One action on a fixed set of events; ``waiting`` means: for another person's approval.

    ``said`` is the selection as a person gave it, ``counts`` the number of items by their result,
    ``mark`` the newest audit id when it started. ``owner`` is the process that works on it now, as
    long as ``heartbeat_at`` is recent.
    """

    __tablename__ = "bulk_plans"
    __table_args__ = (
        one_of("action", ACTIONS),
        one_of("state", PLAN_STATES),
        Index("bulk_plans_leased_idx", "id", postgresql_where=LEASED),
        Index("bulk_plans_bypassed_idx", "id", postgresql_where=APPROVAL_BYPASSED),
        {"postgresql_with": UPDATED_OFTEN},
    )

    id: Mapped[int] = mapped_column(Identity(always=True), primary_key=True)
    action: Mapped[str]
    actor: Mapped[str]
    reason: Mapped[str]
    made_at: Mapped[datetime] = mapped_column(server_default=func.now())
    said: Mapped[dict[str, Any]]
    items: Mapped[int]
    fingerprint: Mapped[str]
    catalogue_version: Mapped[int | None] = mapped_column(Integer)
    release: Mapped[str]
    state: Mapped[str] = mapped_column(server_default=text("'planned'"))
    state_reason: Mapped[str | None]
    rate: Mapped[float | None] = mapped_column(Float)
    previewed: Mapped[int] = mapped_column(server_default=text("0"))
    previewed_at: Mapped[datetime | None]
    preview_counts: Mapped[dict[str, Any]] = mapped_column(server_default=text("'{}'::jsonb"))
    approved_by: Mapped[str | None]
    approved_at: Mapped[datetime | None]
    bypassed_by: Mapped[str | None]
    started_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]
    mark: Mapped[int | None]
    counts: Mapped[dict[str, Any]] = mapped_column(server_default=text("'{}'::jsonb"))
    owner: Mapped[str | None]
    heartbeat_at: Mapped[datetime | None]


class BulkItem(Base):
    """One event of a plan, as it was when the plan was made, and what became of it.

    ``letter_state`` is null for a settled event. ``said`` is the result in words.
    """

    __tablename__ = "bulk_items"
    __table_args__ = (
        one_of("state", ITEM_STATES),
        Index(
            "bulk_items_attention_idx",
            "plan",
            "state",
            "position",
            postgresql_where=NEEDS_ATTENTION,
        ),
    )

    plan: Mapped[int] = mapped_column(primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True)
    key: Mapped[str]
    body_sha256: Mapped[str]
    letter_state: Mapped[str | None]
    state: Mapped[str] = mapped_column(server_default=text("'waiting'"))
    said: Mapped[str | None]


class BulkUser(Base):
    """A user from whom the plan may take access or whose money it may move.

    ``named_by`` is ``preview``, or the person who allowed it later.
    """

    __tablename__ = "bulk_users"

    plan: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[str] = mapped_column(primary_key=True)
    named_by: Mapped[str]


class BulkDifference(Base):
    """A row of the preview: an entitlement or a payment before and after the plan."""

    __tablename__ = "bulk_differences"
    __table_args__ = (
        one_of("kind", DIFFERENCE_KINDS),
        Index("bulk_differences_party_idx", "plan", "party"),
    )

    plan: Mapped[int] = mapped_column(primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True)
    party: Mapped[str]
    kind: Mapped[str]
    user_id: Mapped[str | None]
    takes: Mapped[bool]
    before: Mapped[Any | None] = mapped_column(JSONB(none_as_null=True))
    after: Mapped[Any | None] = mapped_column(JSONB(none_as_null=True))
