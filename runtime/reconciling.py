"""The schedule of comparisons with Stripe, and what the newest ones found: for all processes.

Three loops have budgets of their own, because Stripe allows a quiet account some 10,000 reads a
month: events that Stripe could not deliver are asked for every half hour, all events nightly, all
objects weekly. What may have lost events starts a loop at once, with a rest between two tries.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Final

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from billing.ids import Realm, realm_of
from models.stripe_runs import DIFFERENCE_CLASSES
from runtime.settings import Settings


class ComparedPart(StrEnum):
    """A part of a reconciliation, and a loop of the schedule."""

    UNDELIVERED = "undelivered"
    """The events since the last night that Stripe could not deliver to all endpoints."""
    EVENTS = "events"
    OBJECTS = "objects"


UNDELIVERED_EVERY: Final = timedelta(minutes=30)
NIGHT_HOUR: Final = 3
"""The hour (UTC) in which the nightly and the weekly loop begin."""

REST: Final = timedelta(hours=1)
"""Between two tries of the same loop, for any reason."""

_DAY: Final = timedelta(days=1)
_SUNDAY: Final = 6
_REMEMBERED: Final = "40 days"

GENERATED_LATE: Final = "v2.core.health.event_generation_failure.resolved"
"""The event that says that Stripe made no events for a while, and never will:
https://docs.stripe.com/webhooks/handle-irrecoverable-events
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Loop:
    """One part of the schedule for one account and mode."""

    realm: Realm
    part: ComparedPart


@dataclass(frozen=True, slots=True, kw_only=True)
class LoopRuns:
    """The times of a loop's newest runs: the beginning of a whole one, and the last try.

    A run that is still open was tried when a process last worked on it. ``first_at`` is the
    beginning of the oldest one that is remembered.
    """

    done_at: datetime | None = None
    tried_at: datetime | None = None
    first_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PastRuns:
    """The runs so far, and when something last happened that starts a loop at once."""

    by_loop: Mapping[Loop, LoopRuns] = field(default_factory=dict)
    events_doubtful_at: datetime | None = None
    objects_doubtful_at: datetime | None = None
    unfinished: tuple[Loop, ...] = ()
    """Loops of which a run was killed and no process works on it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Disagreement:
    """The findings of the newest whole runs and what stands, for metrics, `status` and `doctor`."""

    differences: Mapping[str, int] = field(default_factory=dict)
    """How many stand or are left to a person, by class; every class is there.

    Days of the last 30 whose totals differ are counted beside them, if there are any.
    """
    put_in: int = 0
    """Missing events that were put in within the last day."""
    agreed_at: datetime | None = None
    """The beginning of the newest comparison of all objects that found both sides agree."""
    runs_at: Mapping[str, datetime] = field(default_factory=dict)
    """The beginning of the newest whole run by part, of the account that is furthest behind."""
    first_at: datetime | None = None
    """The beginning of the first run of all."""

    @property
    def standing(self) -> int:
        """The number of all of them."""
        return sum(self.differences.values())


def modes_of(settings: Settings) -> tuple[bool, ...]:
    """Return the modes, live or not, that the API key can read and whose events count here.

    A key that does not say its mode is taken for the mode that `PAIDUP_LIVEMODE` names.
    """
    counts = settings.effective_livemode()
    modes = {"live": (True,), "test": (False,), "any": (True, False)}[counts]
    readable = tuple(mode for mode in modes if settings.may_fetch(livemode=mode))
    return readable if len(readable) == 1 else ()


def realms_of(settings: Settings) -> tuple[Realm, ...]:
    """Return the accounts and modes that are compared: our own, then the connected ones."""
    accounts = (None, *sorted(settings.connect_accounts))
    return tuple(realm_of(each, livemode=mode) for mode in modes_of(settings) for each in accounts)


def loops_due(realms: Iterable[Realm], past: PastRuns, now: datetime) -> tuple[Loop, ...]:
    """Return the loops to run now, the cheapest first; one that was killed goes on at once."""
    return tuple(
        loop
        for part in ComparedPart
        for realm in realms
        if (loop := Loop(realm=realm, part=part)) in past.unfinished or _is_due(loop, past, now)
    )


def late_at(part: ComparedPart) -> timedelta:
    """Return the age at which the newest run of a part is too old: two turns and a rest."""
    turns = {
        ComparedPart.UNDELIVERED: UNDELIVERED_EVERY,
        ComparedPart.EVENTS: _DAY,
        ComparedPart.OBJECTS: 7 * _DAY,
    }
    return 2 * turns[part] + REST


def _is_due(loop: Loop, past: PastRuns, now: datetime) -> bool:
    runs = past.by_loop.get(loop, LoopRuns())
    rest = UNDELIVERED_EVERY if loop.part is ComparedPart.UNDELIVERED else REST
    if runs.tried_at is not None and now - runs.tried_at < rest:
        return False
    if runs.tried_at is None and loop.part is ComparedPart.OBJECTS:
        return _may_begin(loop, past, now)
    return runs.done_at is None or runs.done_at < _wanted_since(loop.part, past, now)


def _may_begin(loop: Loop, past: PastRuns, now: datetime) -> bool:
    """Return True if objects of an account that were never compared may be.

    Before its backfill all of them differ, and thousands would be asked for one by one. So they
    wait for that, or for the first weekly turn after the schedule began.
    """
    if past.objects_doubtful_at is not None:
        return True
    first = (runs.first_at for each, runs in past.by_loop.items() if each.realm == loop.realm)
    return any(at is not None and at <= _turn(loop.part, now) for at in first)


def _wanted_since(part: ComparedPart, past: PastRuns, now: datetime) -> datetime:
    """Return the moment at or after which a run must have begun to be recent enough."""
    turn = _turn(part, now)
    doubts = {
        ComparedPart.EVENTS: past.events_doubtful_at,
        ComparedPart.OBJECTS: past.objects_doubtful_at,
    }
    doubtful_at = doubts.get(part)
    return turn if doubtful_at is None else max(turn, doubtful_at)


def _turn(part: ComparedPart, now: datetime) -> datetime:
    if part is ComparedPart.UNDELIVERED:
        return now - UNDELIVERED_EVERY
    tonight = now.astimezone(UTC).replace(hour=NIGHT_HOUR, minute=0, second=0, microsecond=0)
    night = tonight if tonight <= now else tonight - _DAY
    if part is ComparedPart.EVENTS:
        return night
    return night - ((night.weekday() - _SUNDAY) % 7) * _DAY


def read_past_runs(connection: Connection, *, lease: timedelta) -> PastRuns:
    """Return the runs so far; one whose process gave no heartbeat for ``lease`` is unfinished.

    A run that its process gave back, as when Stripe does not answer, rests before the next try.
    """
    runs = {
        Loop(realm=Realm(row.realm), part=ComparedPart(row.part)): LoopRuns(
            done_at=row.done_at, tried_at=row.tried_at, first_at=row.first_at
        )
        for row in connection.execute(_RUNS)
    }
    doubts = connection.execute(_DOUBTS, {"type": GENERATED_LATE}).one()
    return PastRuns(
        by_loop=runs,
        events_doubtful_at=_newest(doubts.lost_at, doubts.healthy_at, doubts.filled_at),
        objects_doubtful_at=_newest(doubts.healthy_at, doubts.filled_at),
        unfinished=tuple(
            Loop(realm=Realm(row.realm), part=ComparedPart(row.part))
            for row in connection.execute(_UNFINISHED, {"lease": lease})
        ),
    )


def read_disagreement(connection: Connection) -> Disagreement:
    """Return what the newest whole runs found and what stands now."""
    counts = dict.fromkeys(DIFFERENCE_CLASSES, 0)
    counts |= {row.classed: row.number for row in connection.execute(_DIFFERENCES)}
    newest = {row.part: row.began_at for row in connection.execute(_NEWEST)}
    agreed = connection.execute(_AGREED).one()
    return Disagreement(
        differences=counts,
        put_in=agreed.put_in,
        agreed_at=agreed.agreed_at,
        runs_at=newest,
        first_at=agreed.first_at,
    )


def due_now(connection: Connection, settings: Settings, *, lease: timedelta) -> tuple[Loop, ...]:
    """Return the loops of the schedule that are due by the database's clock; none without one."""
    if not settings.reconciles:
        return ()
    now = connection.execute(sa.select(sa.func.now())).scalar_one()
    return loops_due(realms_of(settings), read_past_runs(connection, lease=lease), now)


def _newest(*times: datetime | None) -> datetime | None:
    return max((each for each in times if each is not None), default=None)


def _text(query: str) -> sa.TextClause:
    return sa.text(query.replace("REMEMBERED", f"interval '{_REMEMBERED}'"))


_WHOLE: Final = """
WITH whole AS (
    SELECT DISTINCT ON (run.realm, named.part) run.id, run.realm, named.part, run.started_at
    FROM stripe_runs AS run, jsonb_array_elements_text(run.said -> 'parts') AS named (part)
    WHERE run.kind = 'reconcile' AND run.state = 'done' AND run.said @> '{"whole": true}'
        AND run.started_at > now() - REMEMBERED
    ORDER BY run.realm, named.part, run.id DESC
)
"""

_RUNS: Final = _text(
    "SELECT run.realm, named.part, max(CASE run.state WHEN 'running'"
    "  THEN greatest(run.started_at, run.heartbeat_at) ELSE run.started_at END) AS tried_at,"
    " min(run.started_at) AS first_at,"
    " max(run.started_at) FILTER (WHERE run.state = 'done') AS done_at"
    " FROM stripe_runs AS run, jsonb_array_elements_text(run.said -> 'parts') AS named (part)"
    " WHERE run.kind = 'reconcile' AND run.said @> '{\"whole\": true}'"
    # A preview of a person puts nothing in, so it does not stand for a turn of the schedule.
    " AND (named.part = 'objects' OR run.said @> '{\"scheduled\": true}'"
    '  OR run.said @> \'{"apply": ["events"]}\')'
    " AND run.started_at > now() - REMEMBERED GROUP BY run.realm, named.part"
)

_DOUBTS: Final = _text(
    "SELECT (SELECT max(noticed_at) FROM data_losses WHERE closed_at IS NULL) AS lost_at,"
    " (SELECT max(applied_at) FROM stripe_events WHERE type = :type) AS healthy_at,"
    " (SELECT max(ended_at) FROM stripe_runs WHERE kind = 'backfill' AND state = 'done'"
    "  AND started_at > now() - REMEMBERED) AS filled_at"
)

_UNFINISHED: Final = _text(
    "SELECT DISTINCT run.realm, named.part"
    " FROM stripe_runs AS run, jsonb_array_elements_text(run.said -> 'parts') AS named (part)"
    " WHERE run.kind = 'reconcile' AND run.state = 'running'"
    " AND run.said @> '{\"scheduled\": true}'"
    " AND run.owner IS NOT NULL AND run.heartbeat_at < now() - CAST(:lease AS interval)"
)

_DIFFERENCES: Final = _text(
    _WHOLE  # noqa: S608 - both are ours
    + """
SELECT found.class AS classed, count(DISTINCT found.name) AS number
FROM stripe_run_differences AS found JOIN whole ON whole.id = found.run
WHERE found.state IN ('stands', 'left')
    AND (found.class = 'missing_event') = (whole.part <> 'objects')
    AND NOT EXISTS (
        SELECT FROM stripe_run_differences AS later
        WHERE later.name = found.name AND later.run > found.run AND later.state = 'repaired')
    AND NOT EXISTS (
        SELECT FROM stripe_events AS event
        WHERE found.class = 'missing_event' AND event.id = found.name)
    AND NOT EXISTS (
        SELECT FROM dead_letters AS letter
        WHERE found.class = 'missing_event' AND letter.event_id = found.name
            AND letter.state = 'discarded')
GROUP BY found.class
UNION ALL
SELECT 'differing_days', count(DISTINCT (run.realm, day ->> 'day'))
FROM stripe_runs AS run JOIN whole ON whole.id = run.id AND whole.part = 'objects',
    jsonb_array_elements(run.result -> 'days') AS day
WHERE CAST(day ->> 'day' AS date) > CAST(run.started_at AS date) - 30
HAVING count(*) > 0
"""
)

_NEWEST: Final = _text(
    _WHOLE  # noqa: S608 - both are ours
    + "SELECT part, min(started_at) AS began_at FROM whole GROUP BY part"
)

_AGREED: Final = _text(
    "SELECT (SELECT max(started_at) FROM stripe_runs WHERE kind = 'reconcile' AND state = 'done'"
    '  AND result @> \'{"agrees": true, "whole": true}\''
    "  AND coalesce(result -> 'not_compared', '[]') = '[]') AS agreed_at,"
    " (SELECT count(DISTINCT name) FROM stripe_run_differences WHERE state = 'repaired'"
    "  AND class = 'missing_event' AND found_at > now() - interval '1 day') AS put_in,"
    " (SELECT min(started_at) FROM stripe_runs WHERE kind = 'reconcile') AS first_at"
)
