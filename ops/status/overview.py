"""Read the numbers of `paidup status`: the backlog from Redis, the rest from PostgreSQL.

If one server is unreachable, the half that the other one knows is still shown.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from sqlalchemy import Connection, func, select
from sqlalchemy.exc import SQLAlchemyError

from models.dead_letters import STATES
from models.tables import DeadLetter, StoredCatalogue
from ops import connections
from ops.errors import CommandFailed
from ops.queries.audit_history import database_now
from ops.queries.events import count_unfetched
from ops.queries.stripe_runs import StripeRunRow, runs_under_way
from ops.queries.throughput import settled_since
from runtime.data_loss.reports import Losses, read_losses
from runtime.database.engine import UnusableDatabaseUrl
from runtime.database.pooler import is_behind_pooler
from runtime.disks import Disk, own_disks
from runtime.inbox.api_requests import ApiRequests, ApiUsage
from runtime.inbox.entries import Backlog, LostAccepts
from runtime.inbox.recent import RecentEvents
from runtime.inbox.room import InboxRoom, RoomMeasure
from runtime.inbox.signatures import Mismatches, SignatureRecord
from runtime.inbox.wrong_paths import WrongPath, WrongPaths
from runtime.ledger.maintenance.archive_updates import UpdateProgress, updates_in_progress
from runtime.ledger.maintenance.ending_soon import count_ended, count_ending_soon
from runtime.ledger.maintenance.outdated import OutdatedCount, count_outdated
from runtime.metrics_room import folders_without_room
from runtime.reconciling import Disagreement, read_disagreement
from runtime.settings import Settings
from runtime.sizing.need import Need, estimate_need


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseCounts:
    """Counts from the database."""

    last_minute: int
    last_hour: int
    letters: Mapping[str, int]
    catalogue_version: int | None
    unfetched: int
    """Settled events that still need a fetch from Stripe's API."""
    outdated: OutdatedCount
    """What waits to be read again by the readers of this release."""
    ending_soon: int = 0
    """Grants in force that end within seven days."""
    ended: int = 0
    """Grants whose end was within the last day."""
    archive_updates: Sequence[UpdateProgress] = ()
    """Updates of archives that are under way, the oldest first."""
    runs: Sequence[StripeRunRow] = ()
    """Backfills and reconciliations that have not ended, the oldest first."""
    behind_pooler: bool = False
    """A connection pooler stands between Paidup and PostgreSQL."""
    losses: Losses = field(default_factory=Losses)
    disagreement: Disagreement = field(default_factory=Disagreement)
    """What the newest comparisons with Stripe found."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RedisCounts:
    """Counts from Redis; the defaults are those of a Redis that is unreachable."""

    backlog: Backlog | None = None
    room: InboxRoom | None = None
    lost_accepts: Sequence[LostAccepts] = ()
    wrong_paths: Sequence[WrongPath] = ()
    mismatches: Mismatches | None = None
    api_usage: Sequence[ApiUsage] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Overview:
    """Both halves, and in ``troubles`` the reason why one is missing."""

    inbox: Backlog | None
    need: Need | None
    """None as well if Redis is unreachable."""
    database: DatabaseCounts | None
    troubles: Mapping[str, str]
    room: InboxRoom | None = None
    without_room: Mapping[Path, str] = field(default_factory=dict)
    """Metrics folders of this machine that cannot be written, with the reasons."""
    mismatches: Mismatches | None = None
    """Deliveries in a row that matched no signing secret."""
    wrong_paths: Sequence[WrongPath] = ()
    """Paths that are not the endpoint's and got signed deliveries."""
    api_usage: Sequence[ApiUsage] = ()
    """What was read from Stripe's API, by account."""
    disks: tuple[Disk, ...] = ()
    """Disks of this machine that are Paidup's own."""
    losses: Losses = field(default_factory=Losses)
    """Open reports of lost data, also those that only Redis knows of."""


def take_overview(settings: Settings) -> Overview:
    """Read the numbers now."""
    troubles: dict[str, str] = {}
    counts = _redis(settings, troubles)
    inbox = counts.backlog
    database = _database(settings, troubles)
    return Overview(
        inbox=inbox,
        room=counts.room,
        need=estimate_need(inbox) if inbox else None,
        database=database,
        troubles=troubles,
        mismatches=counts.mismatches,
        wrong_paths=counts.wrong_paths,
        api_usage=counts.api_usage,
        without_room=folders_without_room(settings.data_dir),
        losses=(database.losses if database else Losses()).with_accepts(counts.lost_accepts),
        disks=own_disks(settings.data_dir),
    )


def _redis(settings: Settings, troubles: dict[str, str]) -> RedisCounts:
    try:
        with connections.open_inbox(settings) as inbox:
            return RedisCounts(
                backlog=inbox.backlog(),
                room=RoomMeasure(inbox.client, limit=settings.inbox_limit).read(),
                lost_accepts=RecentEvents(inbox.client).lost_accepts(),
                wrong_paths=WrongPaths(inbox.client).read(settings.webhook_path),
                mismatches=SignatureRecord(inbox.client).read(),
                api_usage=ApiRequests(inbox.client).usage(),
            )
    except CommandFailed as error:
        troubles["redis"] = str(error)
    return RedisCounts()


def _database(settings: Settings, troubles: dict[str, str]) -> DatabaseCounts | None:
    if settings.database_url is None:
        troubles["postgresql"] = "DATABASE_URL is not set: set it to see settled events"
        return None
    try:
        with connections.open_snapshot(settings, application="status", patient=False) as connection:
            return _read(connection)
    except (CommandFailed, UnusableDatabaseUrl) as error:
        troubles["postgresql"] = str(error)
    except SQLAlchemyError as error:
        troubles["postgresql"] = str(connections.unavailable("PostgreSQL", error))
    return None


def _read(connection: Connection) -> DatabaseCounts:
    at = database_now(connection)
    counts = select(DeadLetter.state, func.count()).group_by(DeadLetter.state)
    letters = {state: number for state, number in connection.execute(counts)}  # noqa: C416 - rows
    return DatabaseCounts(
        last_minute=settled_since(connection, at - timedelta(minutes=1)),
        last_hour=settled_since(connection, at - timedelta(hours=1)),
        letters={state: letters.get(state, 0) for state in STATES},
        catalogue_version=connection.scalar(select(func.max(StoredCatalogue.version))),
        unfetched=count_unfetched(connection),
        outdated=count_outdated(connection),
        ending_soon=count_ending_soon(connection),
        ended=count_ended(connection),
        archive_updates=updates_in_progress(connection),
        runs=runs_under_way(connection),
        behind_pooler=is_behind_pooler(connection),
        losses=read_losses(connection),
        disagreement=read_disagreement(connection),
    )
