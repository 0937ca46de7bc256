"""Input from Stripe: settled events, API observations and their facts, grouped into parties.

A party is the group of Stripe objects that belong together, normally everything of one customer.
A transaction locks, loads and projects whole parties, so every object ever named has one.
"""

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, Identity, Index, Integer, func, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from models.base import BY_PREFIX, UPDATED_OFTEN, Base, one_of

UNFETCHED = text("pending_fetches IS NOT NULL OR reason = 'needs_api_key'")
"""Settled events that Stripe's API has more to say about and was not asked yet."""

UNKNOWN_TYPE = text("reason = 'unknown_type'")
"""Settled events that no reader knew; a later release may read them."""

OF_UNLISTED_ACCOUNTS = text("reason = 'unknown_account'")
"""Settled events that a longer list of accounts would make count."""

FETCHED = text("observations IS NOT NULL")
"""Settled events for which Stripe's API was asked."""

LACKING = text(
    "waiting OR without_grant <> '{}' OR missing_subscriptions <> '{}' OR awaiting_invoice <> '{}'"
    " OR incomplete_summaries <> '{}' OR incomplete_items <> '{}' OR incomplete_lines <> '{}'"
    " OR without_line_items <> '{}'"
)
"""Parties of which something was paid and grants nothing, or may grant too little."""

WITHOUT_EFFECT = text("outcome <> 'applied'")
"""Settled events that changed nothing."""

IN_ARCHIVE = text("archive <> ''")
"""Facts that are not loaded with their party."""

OUTCOMES = ("applied", "superseded", "ignored")
ORIGINS = ("stripe", "replay", "reconcile")


class StripeEvent(Base):
    """A settled event: if its row exists, the event was settled.

    ``observations`` names what Stripe's API showed for it, and is null if the API was not asked;
    ``pending_fetches`` holds what is still to ask.
    """

    __tablename__ = "stripe_events"
    __table_args__ = (
        one_of("outcome", OUTCOMES),
        one_of("origin", ORIGINS),
        Index("stripe_events_unfetched_idx", "id", postgresql_where=UNFETCHED),
        Index("stripe_events_unknown_type_idx", "type", "id", postgresql_where=UNKNOWN_TYPE),
        Index("stripe_events_unlisted_idx", "id", postgresql_where=OF_UNLISTED_ACCOUNTS),
        Index("stripe_events_type_idx", "type", "settlement"),
        Index("stripe_events_applied_at_idx", "applied_at", "settlement"),
        Index(
            "stripe_events_without_effect_idx",
            "outcome",
            "settlement",
            postgresql_where=WITHOUT_EFFECT,
        ),
        Index("stripe_events_prefix_idx", "id", postgresql_ops={"id": BY_PREFIX}),
        Index(
            "stripe_events_observations_idx",
            "observations",
            postgresql_using="gin",
            postgresql_where=FETCHED,
        ),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    type: Mapped[str]
    api_version: Mapped[str | None]
    account: Mapped[str | None]
    livemode: Mapped[bool]
    created_at: Mapped[datetime]
    received_at: Mapped[datetime]
    applied_at: Mapped[datetime] = mapped_column(server_default=text("now()"))
    outcome: Mapped[str]
    reason: Mapped[str | None]
    attempts: Mapped[int] = mapped_column(Integer)
    payload: Mapped[str]
    payload_sha256: Mapped[str]
    object_id: Mapped[str | None]
    realm: Mapped[str]
    fingerprint: Mapped[str]
    origin: Mapped[str]
    observations: Mapped[list[str] | None]
    pending_fetches: Mapped[str | None]
    settlement: Mapped[int] = mapped_column(BigInteger, Identity(always=True), unique=True)


class StoredObservation(Base):
    """An object as Stripe's API showed it, with the event for which it was asked first.

    ``event_id`` is null if a backfill or a reconciliation read it, for no event: ``origin`` says
    which of them, ``actor`` for whom, and ``reason`` why. ``payload`` is the exact body of the
    object; ``asked_at`` is the second before the request was sent. ``gone`` means that the API
    answered with 404.
    """

    __tablename__ = "api_observations"

    id: Mapped[str] = mapped_column(primary_key=True)
    object_id: Mapped[str] = mapped_column(index=True)
    family: Mapped[str]
    realm: Mapped[str]
    event_id: Mapped[str | None] = mapped_column(index=True)
    asked_at: Mapped[datetime]
    api_version: Mapped[str | None]
    gone: Mapped[bool]
    payload: Mapped[str]
    payload_sha256: Mapped[str]
    origin: Mapped[str | None]
    actor: Mapped[str | None]
    reason: Mapped[str | None]


class StoredFact(Base):
    """One observation of one object by one event, as ``billing.facts`` writes it.

    ``event_id`` may also be the id of an API observation. ``archive`` is empty for what is loaded
    with its party; anything else is loaded only where an event asks for it.
    """

    __tablename__ = "facts"
    __table_args__ = (
        Index("facts_party_idx", "party", "archive"),
        Index("facts_archived_idx", "object_key", "created_at", postgresql_where=IN_ARCHIVE),
    )

    event_id: Mapped[str] = mapped_column(primary_key=True)
    object_key: Mapped[str] = mapped_column(primary_key=True)
    party: Mapped[str]
    kind: Mapped[str]
    event_type: Mapped[str]
    created_at: Mapped[datetime]
    fact: Mapped[dict[str, Any]]
    archive: Mapped[str] = mapped_column(server_default=text("''"))


class Membership(Base):
    """The party of an object; the row is also the lock on a new object.

    ``archive`` is the one that an event loads that names the object.
    """

    __tablename__ = "memberships"
    __table_args__ = (
        Index("memberships_party_idx", "party", "archive"),
        Index("memberships_prefix_idx", "object_key", postgresql_ops={"object_key": BY_PREFIX}),
    )

    object_key: Mapped[str] = mapped_column(primary_key=True)
    party: Mapped[str]
    archive: Mapped[str] = mapped_column(server_default=text("''"))


class ArchiveKey(Base):
    """A key by which an event finds an archive without naming an object in it."""

    __tablename__ = "archive_keys"
    __table_args__ = (Index("archive_keys_party_idx", "party", "archive"),)

    key: Mapped[str] = mapped_column(primary_key=True)
    party: Mapped[str] = mapped_column(primary_key=True)
    archive: Mapped[str] = mapped_column(primary_key=True)


class ArchiveNote(Base):
    """A note about an archived payment, which its party would have were it not archived.

    ``kind`` is the column of ``parties`` that it would stand in, ``value`` what would stand beside
    its name there; null if that is nothing.
    """

    __tablename__ = "archive_notes"

    party: Mapped[str] = mapped_column(primary_key=True)
    archive: Mapped[str] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(primary_key=True)
    value: Mapped[Any | None] = mapped_column(JSONB(none_as_null=True))


class ArchiveUpdate(Base):
    """A change that concerns everything of a party with a long past, and how far it has come.

    The archives whose name comes after ``position`` are as they were before the change. ``actor``
    to ``reason`` are its cause, as the audit names it; of several changes, the last. ``again`` if
    another round has to follow, and ``rounds`` counts those that did.
    """

    __tablename__ = "archive_updates"

    party: Mapped[str] = mapped_column(primary_key=True)
    position: Mapped[str] = mapped_column(server_default=text("''"))
    rounds: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    again: Mapped[bool] = mapped_column(server_default=text("false"))
    began_at: Mapped[datetime] = mapped_column(server_default=func.now())
    actor: Mapped[str]
    origin: Mapped[str]
    occurred_at: Mapped[datetime]
    event_id: Mapped[str | None]
    event_type: Mapped[str | None]
    reason: Mapped[str | None]


class Party(Base):
    """The state of a party's last projection: when it changes by itself, and what it lacks.

    ``reader`` is the number of the readers that wrote its facts (``billing.facts``).
    """

    __tablename__ = "parties"
    __table_args__ = (
        Index("parties_due_at_idx", "due_at", postgresql_where=text("due_at IS NOT NULL")),
        Index("parties_catalogue_version_idx", "catalogue_version"),
        Index("parties_reader_idx", "reader"),
        Index("parties_lacking_idx", "party", postgresql_where=LACKING),
        {"postgresql_with": UPDATED_OFTEN},
    )

    party: Mapped[str] = mapped_column(primary_key=True)
    catalogue_version: Mapped[int] = mapped_column(Integer)
    reader: Mapped[int] = mapped_column(Integer, server_default=text("1"))
    due_at: Mapped[datetime | None]
    waiting: Mapped[bool]
    unknown_prices: Mapped[list[str]]
    incomplete_summaries: Mapped[list[str]]
    incomplete_items: Mapped[list[str]] = mapped_column(server_default=text("'{}'"))
    incomplete_lines: Mapped[list[str]] = mapped_column(server_default=text("'{}'"))
    missing_subscriptions: Mapped[list[str]]
    undecided: Mapped[list[str]]
    awaiting_invoice: Mapped[list[str]] = mapped_column(server_default=text("'{}'"))
    without_line_items: Mapped[list[str]] = mapped_column(server_default=text("'{}'"))
    candidates: Mapped[dict[str, Any]] = mapped_column(server_default=text("'{}'"))
    """The users between whom each source and payment waits that has none."""
    without_grant: Mapped[dict[str, Any]] = mapped_column(server_default=text("'{}'"))
    """What was paid for and grants nothing, with the reason (``billing.rows.NoGrant``)."""
    archived_until: Mapped[datetime | None]
    """The newest moment of anything in its archives; null without any."""
    dependencies: Mapped[dict[str, Any]] = mapped_column(server_default=text("'{}'"))
    """What its archives and the rest depend on (``billing.archiving.dependencies``)."""
