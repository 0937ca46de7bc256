"""Runs that ask Stripe about much: backfills and reconciliations, and how far they have come."""

from datetime import date, datetime
from typing import Any

from sqlalchemy import Boolean, Float, Identity, Index, Integer, func, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from models.base import BY_PREFIX, UPDATED_OFTEN, Base, one_of

RUN_KINDS = ("backfill", "reconcile")
RUN_STATES = ("running", "done", "failed", "cancelled")
DIFFERENCE_STATES = ("moving", "stands", "repaired", "left")
DIFFERENCE_CLASSES = (
    "paid_not_granted",
    "granted_not_paid",
    "amounts",
    "missing_event",
    "missing_here",
    "unknown_there",
    "other_status",
    "other_price",
    "other_period",
    "other_user",
    "stale_here",
)
"""From what harms most to what harms least."""

RUNNING = text("state = 'running'")


class StripeRun(Base):
    """One run of one account and mode; a run that was killed is still ``running``.

    ``said`` is what was asked for, and two runs with equal ``said`` do the same. ``owner`` is the
    process that works on it now, as long as ``heartbeat_at`` is recent. ``counts`` are by list and
    by class; ``result`` is what the run ended in: of a reconciliation, its statement of agreement.
    """

    __tablename__ = "stripe_runs"
    __table_args__ = (
        one_of("kind", RUN_KINDS),
        one_of("state", RUN_STATES),
        Index("stripe_runs_running_idx", "id", postgresql_where=RUNNING),
        Index("stripe_runs_kind_idx", "kind", "realm", "id"),
        {"postgresql_with": UPDATED_OFTEN},
    )

    id: Mapped[int] = mapped_column(Identity(always=True), primary_key=True)
    kind: Mapped[str]
    realm: Mapped[str]
    actor: Mapped[str]
    reason: Mapped[str | None]
    said: Mapped[dict[str, Any]]
    state: Mapped[str] = mapped_column(server_default=text("'running'"))
    state_reason: Mapped[str | None]
    rate: Mapped[float] = mapped_column(Float)
    started_at: Mapped[datetime] = mapped_column(server_default=func.now())
    ended_at: Mapped[datetime | None]
    owner: Mapped[str | None]
    heartbeat_at: Mapped[datetime | None]
    requests: Mapped[int] = mapped_column(server_default=text("0"))
    counts: Mapped[dict[str, Any]] = mapped_column(server_default=text("'{}'::jsonb"))
    result: Mapped[Any | None] = mapped_column(JSONB(none_as_null=True))


class StripeRunRange(Base):
    """A part of one of Stripe's lists that a run reads: what was created in a span of seconds.

    Both ends belong to it; null is no end. ``cursor`` is the last object that was read, so the next
    page begins after it. It is written in the transaction that stores what the page showed.
    """

    __tablename__ = "stripe_run_ranges"
    __table_args__ = ({"postgresql_with": UPDATED_OFTEN},)

    run: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    list: Mapped[str] = mapped_column(primary_key=True)
    position: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    oldest: Mapped[datetime | None]
    newest: Mapped[datetime | None]
    cursor: Mapped[str | None]
    pages: Mapped[int] = mapped_column(server_default=text("0"))
    objects: Mapped[int] = mapped_column(server_default=text("0"))
    done: Mapped[bool] = mapped_column(Boolean, server_default=text("false"))


class StripeRunObject(Base):
    """An object that a backfill read from a list, until it is handed to the ledger.

    ``holder`` is what objects of one party have in common, mostly their customer, so that they are
    handed in together. ``payload`` is the body as Stripe's list showed it.
    """

    __tablename__ = "stripe_run_objects"
    __table_args__ = (
        Index(
            "stripe_run_objects_object_idx",
            "run",
            "object_id",
            postgresql_ops={"object_id": BY_PREFIX},
        ),
    )

    run: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    holder: Mapped[str] = mapped_column(primary_key=True)
    object_id: Mapped[str] = mapped_column(primary_key=True)
    list: Mapped[str]
    family: Mapped[str]
    asked_at: Mapped[datetime]
    api_version: Mapped[str | None]
    gone: Mapped[bool]
    payload: Mapped[str]


class StripeRunPage(Base):
    """One page of objects as a reconciliation saw it; kept until the run ends.

    ``names`` are the ids on it, ``totals`` the money on it by currency, day and status.
    """

    __tablename__ = "stripe_run_pages"

    run: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    page: Mapped[int] = mapped_column(Identity(always=True), primary_key=True)
    names: Mapped[list[str]]
    totals: Mapped[list[Any]]


class StripeRunDifference(Base):
    """A difference that a reconciliation found between Stripe and us.

    ``name`` is the id of the event or object. ``moving`` if it did not stand in two reads yet,
    ``left`` if it needs a person. ``ours`` and ``theirs`` are the fields that differ.
    """

    __tablename__ = "stripe_run_differences"
    __table_args__ = (
        one_of("state", DIFFERENCE_STATES),
        one_of("class", DIFFERENCE_CLASSES),
        Index("stripe_run_differences_class_idx", "run", "class", "name"),
    )

    run: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    name: Mapped[str] = mapped_column(primary_key=True)
    family: Mapped[str]
    classed: Mapped[str] = mapped_column("class")
    state: Mapped[str]
    stripe_customer_id: Mapped[str | None]
    user_id: Mapped[str | None]
    ours: Mapped[Any | None] = mapped_column(JSONB(none_as_null=True))
    theirs: Mapped[Any | None] = mapped_column(JSONB(none_as_null=True))
    says: Mapped[str]
    found_at: Mapped[datetime] = mapped_column(server_default=func.now())


class ReconciledDay(Base):
    """A day (UTC) of Stripe's event list of one account and mode, as it was read last.

    ``digest`` is of the set of its event ids. The day is closed once it was read twice with the
    same digest after it had ended; a closed day is not read again.
    """

    __tablename__ = "reconciled_days"

    realm: Mapped[str] = mapped_column(primary_key=True)
    day: Mapped[date] = mapped_column(primary_key=True)
    digest: Mapped[str]
    events: Mapped[int]
    missing: Mapped[int]
    reads: Mapped[int] = mapped_column(Integer, server_default=text("1"))
    read_at: Mapped[datetime] = mapped_column(server_default=func.now())
    closed_at: Mapped[datetime | None]
