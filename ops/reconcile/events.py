"""Compare Stripe's events with ours, page by page, and put in what is missing.

The list is not filtered by type. A request takes twenty types and the readers know sixty, so a
filter would make three lists of one: three times the requests on a quiet account. On a busy one it
would save the pages of what nothing reads, which is little where subscriptions are sold. And a
day's digest stays the same when a release reads more types.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta
from itertools import islice
from typing import Final

from ops.reconcile.course import ComparisonRun, PartEnded
from ops.reconcile.day_store import read_days, write_days
from ops.reconcile.event_comparison import EventComparison
from ops.reconcile.event_days import KnownDay, days_to_read, next_known, read_day, spans_of
from ops.stripe_runs.lists import EVENTS, Span
from ops.stripe_runs.walk import ListReading, Walk
from ops.terminal.interrupt import Interrupted

UNDELIVERED: Final = EVENTS.where(("delivery_success", "false"))
"""The events that Stripe could not deliver to each endpoint that wants them, or not yet."""

LOOK_BACK: Final = timedelta(hours=26)
"""The check for these covers a little more than the time since the last night."""

MOST_PAGES: Final = 10
"""It reads no more, because another endpoint that is broken makes the list long."""

READERS: Final = 10
"""A page of events is large, so that with all else a request takes a quarter of a second."""

MORE: Final = "Stripe lists more undelivered events, which the nightly comparison covers"


def compare_events(course: ComparisonRun) -> PartEnded:
    """Read every day that is not closed, put in what is missing if that is wanted, and wait.

    Raises:
        ApiFailure: Stripe refuses the key or the list.
        Interrupted: a person asked to stop.
        OtherAccount: the key is not that of the account whose events are here.
        RunLost: the run was cancelled, or another process has it.
    """
    began_at = course.run.started_at
    with course.engine.connect() as connection:
        known = read_days(connection, course.account.realm)
    wish = course.wish
    days = days_to_read(began_at, known, first=wish.first, every=wish.every_day)
    spans = spans_of(days, began_at, older=wish.first is None)
    comparison = EventComparison(course)
    comparison.prove()
    walk = Walk(
        course.engine,
        course.run,
        [ListReading(list=EVENTS, spans=_until_now(spans, began_at))],
        make_api=course.make_api,
        account=course.account,
        is_stopping=course.is_stopping,
        readers=READERS,
    )
    for page in walk.pages():
        comparison.take(page.objects, page.response.at, walk.save, by_day=True)
    course.run.requests += comparison.api.sent
    if course.is_stopping():
        raise Interrupted
    unread = tuple(f"{each.list}: {each.reason}" for each in walk.unread)
    if not unread:
        _remember(course, days, known)
    return comparison.ended(unread=unread)


def compare_undelivered(course: ComparisonRun) -> PartEnded:
    """Compare the events of the last hours that Stripe could not deliver; one request, or a few.

    Raises:
        ApiFailure: Stripe refuses the key or the list, or does not answer several times.
        Interrupted: a person asked to stop.
        OtherAccount: the key is not that of the account whose events are here.
        RunLost: the run was cancelled, or another process has it.
    """
    # A run that was killed reads this short list from its beginning again.
    course.run.counts.clear()
    comparison = EventComparison(course)
    span = Span(oldest=int((course.run.started_at - LOOK_BACK).timestamp()))
    for page in islice(comparison.api.pages(UNDELIVERED, span), MOST_PAGES):
        comparison.take(page.objects, page.response.at, comparison.beat, by_day=False)
        if not page.has_more:
            return comparison.ended()
    return comparison.ended(not_compared=(MORE,))


def _until_now(spans: Sequence[Span], now: datetime) -> tuple[Span, ...]:
    """Return the spans; the walk itself finds the end of one that has not ended yet."""
    return tuple(
        replace(each, newest=None)
        if each.newest is not None and each.newest >= now.timestamp()
        else each
        for each in spans
    )


def _remember(course: ComparisonRun, days: Iterable[date], known: Iterable[KnownDay]) -> None:
    """Store the days that were read, and close those that need not be read again."""
    run, realm, before = course.run, course.account.realm, {each.day: each for each in known}
    now_known = [
        next_known(day, read_day(run.counts, day), before.get(day), run.started_at) for day in days
    ]
    with course.engine.begin() as connection:
        write_days(connection, realm, now_known)
