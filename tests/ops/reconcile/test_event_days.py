"""Days are read in parts of the list until each is closed."""

from collections import Counter
from datetime import UTC, date, datetime, timedelta
from itertools import permutations

import pytest

from ops.reconcile.event_days import (
    KEPT_DAYS,
    LATE,
    DayRead,
    KnownDay,
    count_event,
    days_to_read,
    next_known,
    read_day,
    spans_of,
)
from ops.stripe_runs.lists import Span

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
TODAY = NOW.date()
DAY = date(2026, 11, 20)
ENDED = datetime(2026, 11, 21, tzinfo=UTC)
READ = DayRead(events=2, open_here=0, digest=7)


def second(day: date, **later: int) -> int:
    return int(
        (datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(**later)).timestamp()
    )


def known(
    day: date = DAY, *, digest: int = 7, read_at: datetime = ENDED, closed: bool = False
) -> KnownDay:
    return KnownDay(
        day=day,
        digest=digest,
        events=2,
        missing=0,
        reads=1,
        read_at=read_at,
        closed_at=read_at if closed else None,
    )


def test_every_day_that_stripe_keeps_is_read_at_first() -> None:
    days = days_to_read(NOW, ())

    assert (len(days), days[0], days[-1]) == (KEPT_DAYS + 1, date(2026, 10, 26), TODAY)


def test_a_closed_day_is_left_out_unless_every_day_is_wanted() -> None:
    closed = [known(closed=True)]

    assert DAY not in days_to_read(NOW, closed)
    assert DAY in days_to_read(NOW, [known()])
    assert DAY in days_to_read(NOW, closed, every=True)


def test_days_begin_with_the_first_one_wanted() -> None:
    assert days_to_read(NOW, (), first=date(2026, 11, 24)) == (date(2026, 11, 24), TODAY)


def test_neighbouring_days_are_one_part_of_the_list() -> None:
    days = [date(2026, 11, 20), date(2026, 11, 21), date(2026, 11, 24)]

    assert spans_of(days, NOW, older=False) == (
        Span(oldest=second(days[0]), newest=second(days[1], hours=24, seconds=-1)),
        Span(oldest=second(days[2]), newest=second(days[2], hours=24, seconds=-1)),
    )


def test_what_is_older_than_stripe_promises_is_read_while_the_oldest_day_is_open() -> None:
    oldest = TODAY - timedelta(days=KEPT_DAYS)
    every, rest = days_to_read(NOW, ()), days_to_read(NOW, [known(oldest, closed=True)])

    assert [each.oldest for each in spans_of(every, NOW, older=True)] == [None]
    assert [each.oldest for each in spans_of(every, NOW, older=False)] == [second(oldest)]
    assert [each.oldest for each in spans_of(rest, NOW, older=True)] == [second(oldest, days=1)]
    assert spans_of((), NOW, older=True) == ()


def test_the_digest_of_a_day_does_not_depend_on_the_order() -> None:
    digests = set()
    for order in permutations(["evt_1", "evt_2", "evt_3"]):
        counts = Counter[str]()
        for event_id in order:
            count_event(counts, event_id, ENDED - timedelta(hours=1), open_here=False)
        digests.add(read_day(counts, DAY).digest)

    assert len(digests) == 1


def test_another_set_of_a_day_has_another_digest() -> None:
    one, other = Counter[str](), Counter[str]()
    count_event(one, "evt_1", NOW, open_here=False)
    count_event(other, "evt_2", NOW, open_here=False)

    assert read_day(one, TODAY).digest != read_day(other, TODAY).digest


def test_events_count_under_their_own_day() -> None:
    counts = Counter[str]()
    count_event(counts, "evt_1", ENDED - timedelta(seconds=1), open_here=True)
    count_event(counts, "evt_2", ENDED, open_here=False)

    assert [read_day(counts, each).events for each in (DAY, ENDED.date())] == [1, 1]
    assert [read_day(counts, each).open_here for each in (DAY, ENDED.date())] == [1, 0]
    assert read_day(counts, TODAY) == DayRead(events=0, open_here=0, digest=0)


def test_a_day_is_closed_by_the_second_read_of_the_same_set() -> None:
    first = next_known(DAY, READ, None, ENDED + LATE)
    second_time = next_known(DAY, READ, first, ENDED + LATE + timedelta(hours=1))

    assert (first.reads, first.closed_at) == (1, None)
    assert (second_time.reads, second_time.closed_at) == (2, ENDED + LATE + timedelta(hours=1))


def test_a_run_that_goes_on_after_it_noted_a_day_read_it_once() -> None:
    once = next_known(DAY, READ, None, ENDED + LATE)

    assert next_known(DAY, READ, once, ENDED + LATE) == once


@pytest.mark.parametrize(
    ("read", "before", "began_at"),
    [
        (DayRead(events=3, open_here=0, digest=9), known(), ENDED + LATE),
        (DayRead(events=2, open_here=1, digest=7), known(), ENDED + LATE),
        (READ, known(read_at=ENDED - timedelta(seconds=1)), ENDED + LATE),
        (READ, known(), ENDED + LATE - timedelta(seconds=1)),
    ],
    ids=["another set", "an open event", "read before its end", "within a day of its end"],
)
def test_a_day_stays_open(read: DayRead, before: KnownDay, began_at: datetime) -> None:
    assert next_known(DAY, read, before, began_at).closed_at is None
