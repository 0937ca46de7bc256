"""Decide which days (UTC) of Stripe's event list are read, and when a day need not be read again.

Stripe lists an event under the second in which it was created, and may list it late. So a day is
read until two reads after its end showed the same set of events, all of which were settled here.
Then it is closed. The set is compared by a digest that does not depend on order.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from hashlib import sha256
from typing import Final

from ops.stripe_runs.lists import Span

KEPT_DAYS: Final = 30
"""Stripe lists events for this long, at least: https://docs.stripe.com/api/events."""

LATE: Final = timedelta(hours=24)
"""An event may be listed so long after it was created; no day is closed earlier after its end."""

_ONE_DAY: Final = timedelta(days=1)
_ROOM: Final = 1 << 62
"""Digests are whole numbers below this, which every JSON keeps exactly."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DayRead:
    """The events that one read of a day showed."""

    events: int
    open_here: int
    """Those that are missing or wait here; a dead letter is none of them."""
    digest: int
    """The sum of the hashes of all ids."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownDay:
    """A day as it was read last; ``reads`` in a row showed this set."""

    day: date
    digest: int
    events: int
    missing: int
    reads: int
    read_at: datetime
    closed_at: datetime | None = None


def count_event(
    counts: Counter[str], event_id: str, created_at: datetime, *, open_here: bool
) -> None:
    """Add one event of the list to the counts of its run, under its day."""
    day = created_at.date().isoformat()
    counts[f"{day} events"] += 1
    counts[f"{day} open"] += int(open_here)
    digest = f"{day} digest"
    counts[digest] = (counts[digest] + _hash(event_id)) % _ROOM


def read_day(counts: Mapping[str, int], day: date) -> DayRead:
    """Return what the run that counted so showed of a day."""
    events, open_here, digest = (
        counts.get(f"{day.isoformat()} {name}", 0) for name in ("events", "open", "digest")
    )
    return DayRead(events=events, open_here=open_here, digest=digest)


def days_to_read(
    now: datetime, known: Iterable[KnownDay], *, first: date | None = None, every: bool = False
) -> tuple[date, ...]:
    """Return the days to read, oldest first: those from ``first`` on that are not closed.

    Without ``first`` they begin with the oldest day that Stripe promises to keep. ``every`` reads
    closed days again.
    """
    closed = set() if every else {each.day for each in known if each.closed_at is not None}
    begin = first or _oldest_kept(now)
    days = (begin + number * _ONE_DAY for number in range((now.date() - begin).days + 1))
    return tuple(day for day in days if day not in closed)


def spans_of(days: Iterable[date], now: datetime, *, older: bool) -> tuple[Span, ...]:
    """Return the parts of the list that show these days, neighbouring days in one, oldest first.

    ``older`` adds all that Stripe lists before the oldest day that it promises to keep, if that
    day is among them: it may keep events for longer, and did not read them either if that is open.
    """
    spans: list[Span] = []
    for day in days:
        begins, ends = _second(day), _second(day + _ONE_DAY) - 1
        if spans and spans[-1].newest == begins - 1:
            spans[-1] = Span(oldest=spans[-1].oldest, newest=ends)
        else:
            spans.append(Span(oldest=begins, newest=ends))
    if older and spans and spans[0].oldest == _second(_oldest_kept(now)):
        spans[0] = Span(oldest=None, newest=spans[0].newest)
    return tuple(spans)


def next_known(day: date, read: DayRead, before: KnownDay | None, began_at: datetime) -> KnownDay:
    """Return what is known of a day after a read of all of it that began then, by Stripe's clock.

    It is closed if this read and the one before showed the same set, both began after the day had
    ended, this one at least ``LATE`` after that, and everything is settled here. A run that goes on
    after it noted its days notes the same read again, which counts once.
    """
    if before is not None and before.read_at == began_at:
        return before
    ended = datetime.combine(day + _ONE_DAY, time.min, UTC)
    same = (
        before is not None
        and (before.digest, before.events) == (read.digest, read.events)
        and before.read_at >= ended
    )
    closes = same and read.open_here == 0 and began_at >= ended + LATE
    return KnownDay(
        day=day,
        digest=read.digest,
        events=read.events,
        missing=read.open_here,
        reads=before.reads + 1 if same and before is not None else 1,
        read_at=began_at,
        closed_at=began_at if closes else None,
    )


def _oldest_kept(now: datetime) -> date:
    return now.date() - KEPT_DAYS * _ONE_DAY


def _second(day: date) -> int:
    return int(datetime.combine(day, time.min, UTC).timestamp())


def _hash(event_id: str) -> int:
    return int.from_bytes(sha256(event_id.encode()).digest()[:8]) % _ROOM
