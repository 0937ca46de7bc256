"""What one event would do if it were applied now: the ledger's own steps, rolled back.

The event may be one that was never sent, signed by nobody; one that is settled, as a replay would
read it; or one that waits in the inbox or among the dead letters.
"""

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Engine

from billing.envelope import Envelope
from billing.errors import MalformedEvent
from billing.fetching.record import Fetched
from billing.ids import EventId, UserId
from billing.projection.effective import changed, merged
from billing.rows import EntitlementRow, PaymentRow, Projection
from billing.text import storable
from ops import connections as doors
from ops.errors import NotDone
from ops.events.lookup import look_up
from ops.events.render import ShownEvent
from ops.queries.audit_history import clock
from ops.queries.events import settled_event
from ops.queries.grants import grants_of
from ops.replay.preview import Foresight
from ops.replay.run import fate_of_outcome
from runtime.event_body import parse
from runtime.failures.classify import Permanent, classify
from runtime.ledger.decisions import Decision, Noted
from runtime.ledger.deliveries import REPLAY, STRIPE, Delivery
from runtime.ledger.record import Foreseen, Ledger
from runtime.settings import Settings

STDIN: Final = "-"


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """A body, its name in the inbox, and where it is from, in words."""

    body: bytes
    key: str
    whence: str
    replayed: bool
    """Whether an operator would have to send it in once more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UserBefore:
    """One user's features as they are and as they would be."""

    user_id: UserId
    before: Mapping[str, Any]
    after: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Supposition:
    """An event and everything that would follow from it."""

    envelope: Envelope
    fetched: Fetched | None
    """What Stripe's API had answered about it."""
    whence: str
    fate: str
    says: str
    foresight: Foresight = field(default_factory=Foresight)
    notes: tuple[Noted, ...] = ()
    users: tuple[UserBefore, ...] = ()
    projection: Projection | None = None
    catalogue_version: int | None = None


def suppose(settings: Settings, engine: Engine, named: str) -> Supposition:
    """Look at the event that a file holds, or that an id names.

    Raises:
        NotDone: there is none, or what there is cannot be tried now.
    """
    subject = subject_of(settings, named)
    try:
        envelope = parse(subject.body)
    except MalformedEvent as error:
        raise NotDone(f"{subject.whence}: {error}") from error
    return _tried(settings, engine, subject, envelope)


def subject_of(settings: Settings, named: str) -> Subject:
    """The body that is meant: what is no file is an id."""
    if named == STDIN:
        return _unsent(settings, sys.stdin.buffer.read(), "standard input")
    path = Path(named)
    if not _is_there(path):
        try:
            return _arrived(look_up(settings, storable(named)))
        except NotDone as error:
            raise NotDone(f"{error}; nor is there a file of that name") from error
    try:
        return _unsent(settings, path.read_bytes(), named)
    except OSError as error:
        raise NotDone(f"{named}: {error.strerror}; name a file with one event as JSON") from error


def _is_there(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):
        return False


def _unsent(settings: Settings, body: bytes, whence: str) -> Subject:
    if len(body) > settings.max_body_bytes:
        raise NotDone(
            f"{whence} holds {len(body)} bytes; ingest takes no event of more than"
            f" {settings.max_body_bytes} (PAIDUP_MAX_BODY_BYTES)"
        )
    return Subject(body=body, key="", whence=whence, replayed=False)


def _arrived(shown: ShownEvent) -> Subject:
    if shown.recorded.settled:
        return Subject(body=shown.body, key=shown.event_id, whence="settled here", replayed=True)
    if shown.pending:
        glimpse = shown.pending[0]
        replayed = glimpse.header.get("origin") == REPLAY
        return Subject(body=glimpse.body, key=glimpse.key, whence="in the inbox", replayed=replayed)
    letter = shown.recorded.letters[0]
    whence = f"a dead letter here ({letter.state}, {letter.error_type})"
    return Subject(body=shown.body, key=letter.event_id, whence=whence, replayed=True)


def _tried(settings: Settings, engine: Engine, subject: Subject, envelope: Envelope) -> Supposition:
    with doors.snapshot(engine):
        pass  # so that a database that cannot be asked says so in one sentence
    livemode, accounts = settings.effective_livemode(), settings.connect_accounts
    ledger = Ledger(engine, livemode=livemode, accounts=accounts)
    (delivery,) = ledger.recalled([_delivery(subject, envelope)])
    foreseen = _foreseen(ledger, delivery)
    told: dict[str, Any] = {
        "envelope": envelope,
        "fetched": delivery.fetched,
        "whence": subject.whence,
    }
    if isinstance(foreseen, Permanent):
        says = f"{foreseen.error_type}: {foreseen.reason}"
        return Supposition(**told, fate="a dead letter", says=says)
    foresight = Foresight()
    foresight.follow(foreseen.decisions)
    fate, says = _fate(engine, envelope.event_id, foreseen)
    return Supposition(
        **told,
        fate=fate,
        says=says,
        foresight=foresight,
        notes=tuple(each for each in foreseen.decisions if isinstance(each, Noted)),
        users=_users(engine, foresight, foreseen.decisions),
        projection=foreseen.projection,
        catalogue_version=foreseen.catalogue_version,
    )


def _delivery(subject: Subject, envelope: Envelope) -> Delivery:
    return Delivery(
        envelope=envelope,
        received_at=datetime.now(UTC),
        attempts=1,
        origin=REPLAY if subject.replayed else STRIPE,
        key=subject.key or envelope.event_id,
    )


def _foreseen(ledger: Ledger, delivery: Delivery) -> Foreseen | Permanent:
    try:
        (foreseen,) = ledger.preview([delivery])
    except Exception as error:
        failure = classify(error)
        if isinstance(failure, Permanent):
            return failure
        raise
    return foreseen


def _fate(engine: Engine, event_id: EventId, foreseen: Foreseen) -> tuple[str, str]:
    if not foreseen.hit:
        fate, says = fate_of_outcome(foreseen.outcome, foreseen.reason)
        return str(fate), says
    with doors.snapshot(engine) as connection:
        settled = settled_event(connection, event_id)
    outcome = settled.outcome if settled else foreseen.outcome
    return "a duplicate", f"{event_id} is settled here already: {outcome}"


def _users(
    engine: Engine, foresight: Foresight, decisions: tuple[Decision, ...]
) -> tuple[UserBefore, ...]:
    """Everybody whose access or money is spoken of, and what each may use."""
    pairs = foresight.entitlements.pairs()
    rows: list[EntitlementRow | PaymentRow | None] = [each for pair in pairs for each in pair]
    rows += [each for pair in foresight.payments.pairs() for each in pair]
    named = {row.user_id for row in rows if row and row.user_id}
    named |= {
        UserId(each.user_id) for each in decisions if isinstance(each, Noted) and each.user_id
    }
    with doors.snapshot(engine) as connection:
        now, standing = clock(connection), grants_of(connection, named)
    return tuple(_user(user, standing.get(user, {}), pairs, now) for user in sorted(named))


def _user(user_id: UserId, standing: Any, pairs: Any, now: datetime) -> UserBefore:
    mine = [pair for pair in pairs if any(row and row.user_id == user_id for row in pair)]
    after = changed(standing, mine)
    return UserBefore(
        user_id=user_id,
        before=merged(standing.values(), now),
        after=merged((row for row in after.values() if row.user_id == user_id), now),
    )
