"""Preview one event: run the ledger's own steps on it and roll them back.

The event may come from a file, signed or not. It may also be settled (previewed as a replay would
read it), in the inbox, or a dead letter.
"""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import Engine

from billing.envelope import Envelope
from billing.errors import MalformedEvent
from billing.fetching.observations import Observations
from billing.ids import EventId, UserId
from billing.projection.effective import merge_grants, with_changes
from billing.rows import Projection
from billing.text import storable
from ops import connections
from ops.bulk.preview import ReplayPreview, preview_delivery
from ops.bulk.run import status_of_outcome
from ops.errors import CommandFailed
from ops.events.lookup import look_up
from ops.events.render import ShownEvent
from ops.queries.audit_history import database_now
from ops.queries.events import settled_event
from ops.queries.rows import load_grants
from ops.terminal.standard_input import STDIN, spool_standard_input
from runtime.event_body import parse
from runtime.failures.classify import Permanent, classify
from runtime.ledger.decisions import Noted
from runtime.ledger.deliveries import DISCARDED, REPLAY, STRIPE, discard_undone_by
from runtime.ledger.deployment import ledger_of
from runtime.ledger.observed import with_stored_fetches
from runtime.ledger.record import DeliveryPreview
from runtime.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class EventSource:
    """A body, its key in the inbox, and its origin in words."""

    body: bytes
    key: str
    origin: str
    replayed: bool
    """True if only a replay by an operator would bring the event in again."""
    undoes_discard: datetime | None = None
    """The time of the discard that the replay undoes, if there is one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UserEffect:
    """One user's features now, and after the event."""

    user_id: UserId
    before: Mapping[str, Any]
    after: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class EventPreview:
    """An event and all its effects."""

    envelope: Envelope
    observations: Observations | None
    """What Stripe's API showed for the event, as far as it is stored."""
    origin: str
    outcome: str
    says: str
    changes: ReplayPreview = field(default_factory=ReplayPreview)
    notes: tuple[Noted, ...] = ()
    users: tuple[UserEffect, ...] = ()
    projection: Projection | None = None
    catalogue_version: int | None = None


def preview_event(settings: Settings, engine: Engine, name: str) -> EventPreview:
    """Preview the event in a file, or the event with this id.

    Raises:
        CommandFailed: if there is no such event, or it cannot be previewed now.
    """
    source = _find_source(settings, name)
    try:
        envelope = parse(source.body)
    except MalformedEvent as error:
        raise CommandFailed(f"{source.origin}: {error}") from error
    return _preview_source(settings, engine, source, envelope)


def _find_source(settings: Settings, name: str) -> EventSource:
    """Read the body from standard input or a file; treat any other name as an event id."""
    if name == STDIN:
        with spool_standard_input() as spooled:
            return _from_outside(settings, spooled.read(), "standard input")
    if not os.path.exists(name):  # noqa: PTH110 - it takes any text, a name too long included
        try:
            return _from_records(look_up(settings, storable(name)))
        except CommandFailed as error:
            raise CommandFailed(f"{error}; and there is no file of that name") from error
    try:
        return _from_outside(settings, Path(name).read_bytes(), name)
    except OSError as error:
        raise CommandFailed(
            f"{name}: {error.strerror}; name a file with one event as JSON"
        ) from error


def _from_outside(settings: Settings, body: bytes, origin: str) -> EventSource:
    if len(body) > settings.max_body_bytes:
        raise CommandFailed(
            f"{origin} has {len(body)} bytes, and ingest accepts at most"
            f" {settings.max_body_bytes}: raise PAIDUP_MAX_BODY_BYTES, or name a smaller file"
        )
    return EventSource(body=body, key="", origin=origin, replayed=False)


def _from_records(shown: ShownEvent) -> EventSource:
    body, key, origin, replayed = shown.body, shown.event_id, "settled here", True
    undoes_discard = None
    if not shown.recorded.settled and shown.pending:
        peeked = shown.pending[0]
        body, key, origin = peeked.body, peeked.key, "in the inbox"
        replayed = peeked.header.get("origin") == REPLAY
        undoes_discard = discard_undone_by(peeked.header.get("extra", {}))
    elif not shown.recorded.settled:
        letter = shown.recorded.letters[0]
        key, origin = letter.event_id, f"a dead letter here ({letter.state}, {letter.error_type})"
        undoes_discard = letter.resolved_at if letter.state == DISCARDED else None
    return EventSource(
        body=body, key=key, origin=origin, replayed=replayed, undoes_discard=undoes_discard
    )


def _preview_source(
    settings: Settings, engine: Engine, source: EventSource, envelope: Envelope
) -> EventPreview:
    with connections.read_snapshot(engine):
        pass  # An unreachable database fails here, with one sentence for the operator.
    ledger = ledger_of(settings, engine)
    origin = REPLAY if source.replayed else STRIPE
    given = preview_delivery(
        envelope, source.key or envelope.event_id, origin, undoes_discard=source.undoes_discard
    )
    (delivery,) = with_stored_fetches(engine, [given])
    about = partial(
        EventPreview,
        envelope=envelope,
        observations=delivery.observations,
        origin=source.origin,
    )
    try:
        (previewed,) = ledger.preview([delivery])
    except Exception as error:
        failure = classify(error)
        if not isinstance(failure, Permanent):
            raise
        return about(outcome="a dead letter", says=f"{failure.error_type}: {failure.reason}")
    changes = ReplayPreview()
    changes.add_decisions(previewed.decisions)
    outcome, says = _outcome(engine, envelope.event_id, previewed)
    notes = tuple(each for each in previewed.decisions if isinstance(each, Noted))
    return about(
        outcome=outcome,
        says=says,
        changes=changes,
        notes=notes,
        users=_users(engine, changes, notes),
        projection=previewed.projection,
        catalogue_version=previewed.catalogue_version,
    )


def _outcome(engine: Engine, event_id: EventId, previewed: DeliveryPreview) -> tuple[str, str]:
    if not previewed.hit:
        status, says = status_of_outcome(previewed.outcome, previewed.reason)
        return str(status), says
    with connections.read_snapshot(engine) as connection:
        settled = settled_event(connection, event_id)
    outcome = settled.outcome if settled else previewed.outcome
    return "a duplicate", f"{event_id} is already settled here: {outcome}"


def _users(
    engine: Engine, changes: ReplayPreview, notes: Iterable[Noted]
) -> tuple[UserEffect, ...]:
    """Return every user whose access or money the event affects, with features before and after."""
    pairs = changes.entitlements.pairs()
    rows = [row for pair in (*pairs, *changes.payments.pairs()) for row in pair if row]
    users = {UserId(each.user_id) for each in (*rows, *notes) if each.user_id}
    with connections.read_snapshot(engine) as connection:
        now, grants = database_now(connection), load_grants(connection, users)
    return tuple(_user(user, grants.get(user, {}), pairs, now) for user in sorted(users))


def _user(user_id: UserId, grants: Any, pairs: Any, now: datetime) -> UserEffect:
    mine = [pair for pair in pairs if any(row and row.user_id == user_id for row in pair)]
    after = with_changes(grants, mine)
    return UserEffect(
        user_id=user_id,
        before=merge_grants(grants.values(), now),
        after=merge_grants((row for row in after.values() if row.user_id == user_id), now),
    )
