"""Decide which days (UTC) of Stripe's event list are read, and when a day need not be read again.

Stripe lists an event under the second in which it was created, and may list it late. So a day is
read until two reads after its end showed the same set of events, of which none was missing or
under way here. Then it is closed. The set is compared by a digest that does not depend on order.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time, timedelta
from hashlib import sha256
from typing import Final

DAYS: Final = 30
"""Stripe keeps events for at least so many days (https://docs.stripe.com/api/events)."""

LATE: Final = timedelta(hours=24)
"""An event may be listed so long after it was created; no day is closed earlier after its end."""

_ROOM: Final = 1 << 256
ONE_DAY: Final = timedelta(days=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class DayRead:
    """What a read of one day showed; reads of parts of a day add up."""

    events: int = 0
    missing: int = 0
    """Events that are not settled here: missing, waiting, moving."""
    digest: int = 0
    """The sum of the hashes of all ids."""

    def __add__(self, other: "DayRead") -> "DayRead":
        """Return the read of both parts."""
        return DayRead(
            events=self.events + other.events,
            missing=self.missing + other.missing,
            digest=(self.digest + other.digest) % _ROOM,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownDay:
    """A day as it was read last; ``reads`` of the same set, of which it is the newest."""

    day: date
    digest: int
    events: int
    missing: int
    reads: int
    read_at: datetime
    closed_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """A part of the list by time of creation, both ends included; None is no beginning."""

    oldest: datetime | None
    newest: datetime


@dataclass(slots=True)
class DayReads:
    """The reads of all days of a run, as far as it has come."""

    by_day: dict[date, DayRead] = field(default_factory=dict)

    def add(self, event_id: str, created_at: datetime, *, open_here: bool) -> None:
        """Add one event of the list; ``open_here`` if it is not settled here."""
        day = created_at.date()
        one = DayRead(events=1, missing=int(open_here), digest=_hash(event_id))
        self.by_day[day] = self.by_day.get(day, DayRead()) + one

    def merged(self, other: "DayReads") -> "DayReads":
        """Return both together."""
        days = dict(self.by_day)
        for day, read in other.by_day.items():
            days[day] = days.get(day, DayRead()) + read
        return DayReads(days)

    def to_json(self) -> dict[str, list[int | str]]:
        """Return it for the row of the run."""
        return {
            day.isoformat(): [read.events, read.missing, f"{read.digest:064x}"]
            for day, read in self.by_day.items()
        }

    @classmethod
    def from_json(cls, stored: Mapping[str, list[int | str]]) -> "DayReads":
        """Return what ``to_json`` wrote."""
        return cls(
            {
                date.fromisoformat(day): DayRead(
                    events=int(events), missing=int(missing), digest=int(str(digest), 16)
                )
                for day, (events, missing, digest) in stored.items()
            }
        )


def spans_to_read(
    now: datetime, known: Iterable[KnownDay], *, first: date | None, every: bool = False
) -> tuple[Span, ...]:
    """Return the parts of the list to read, oldest first, neighbouring days in one.

    ``first`` is the first day wanted. Without one, the days are those that Stripe promises to keep,
    and while the first of them is open, whatever Stripe lists before it. ``every`` reads closed
    days again.
    """
    closed = set() if every else {each.day for each in known if each.closed_at is not None}
    begin = first or now.date() - DAYS * ONE_DAY
    wanted = [day for day in _days(begin, now.date()) if day not in closed]
    spans: list[Span] = []
    for day in wanted:
        if spans and spans[-1].newest + timedelta(seconds=1) == _start(day):
            spans[-1] = replace(spans[-1], newest=_end(day))
        else:
            spans.append(Span(oldest=_start(day), newest=_end(day)))
    if spans and first is None and wanted[0] == begin:
        spans[0] = replace(spans[0], oldest=None)
    return tuple(spans)


def next_known(
    day: date, read: DayRead, before: KnownDay | None, *, began_at: datetime
) -> KnownDay:
    """Return what is known of a day after a whole read of it that began then, by Stripe's clock.

    It is closed if this read and the one before showed the same events, both were made after the
    day had ended, the second one at least ``LATE`` after that, and all are settled here.
    """
    ended = _start(day) + ONE_DAY
    same = before is not None and before.digest == read.digest and before.events == read.events
    counts = same and before is not None and before.read_at >= ended
    reads = before.reads + 1 if counts and before is not None else 1
    settled = read.missing == 0
    closes = counts and settled and began_at >= ended + LATE
    return KnownDay(
        day=day,
        digest=read.digest,
        events=read.events,
        missing=read.missing,
        reads=reads,
        read_at=began_at,
        closed_at=began_at if closes else None,
    )


def whole_days(spans: Iterable[Span], now: datetime) -> tuple[date, ...]:
    """Return the days that spans cover from beginning to end, as far as they have passed."""
    return tuple(
        day
        for span in spans
        for day in _days((span.oldest or _start(now.date() - DAYS * ONE_DAY)).date(), now.date())
        if _start(day) <= span.newest
    )


def _days(first: date, last: date) -> list[date]:
    return [first + number * ONE_DAY for number in range((last - first).days + 1)]


def _start(day: date) -> datetime:
    return datetime.combine(day, time.min, UTC)


def _end(day: date) -> datetime:
    return _start(day) + ONE_DAY - timedelta(seconds=1)


def _hash(event_id: str) -> int:
    return int.from_bytes(sha256(event_id.encode()).digest())
