"""Print the overview of `paidup status`, or turn it into JSON values."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from ops.status.losses import describe_accepts, describe_database, losses_document
from ops.status.overview import DatabaseCounts, Overview, arrival_rate
from ops.status.sizing import TARGET_SECONDS, Need
from ops.terminal.formats import format_duration, format_time
from ops.terminal.output import Json, key_values, to_json
from runtime.inbox.entries import Backlog, Breaker, Lane

if TYPE_CHECKING:
    from rich.table import Table


def as_document(seen: Overview) -> Json:
    """Return both halves as JSON values; ``unavailable`` says why a half is null."""
    return {
        "ok": not seen.troubles,
        "unavailable": dict(seen.troubles),
        "inbox": _inbox_document(seen.inbox) if seen.inbox else None,
        "workers": _workers_document(seen.need, seen.inbox) if seen.inbox else None,
        "settled": _settled_document(seen.books) if seen.books else None,
        "dead_letters": dict(seen.books.letters) if seen.books else None,
        "catalogue_version": seen.books.catalogue_version if seen.books else None,
        "unfetched": seen.books.unfetched if seen.books else None,
        "lost": losses_document(seen.losses),
    }


def _inbox_document(inbox: Backlog) -> Json:
    names = ("events", "due", "parked", "claimed", "conflicts", "unknown_version")
    return {
        "at": to_json(inbox.at),
        **{name: getattr(inbox, name) for name in names},
        "oldest_seconds": round(inbox.oldest_seconds, 3),
        "waiting_seconds": round(inbox.waiting_seconds, 3),
        "fetch": {"due": inbox.fetch_due, "breaker": _breaker_document(inbox.fetch_breaker)},
        "by_lane": {lane.value: count for lane, count in inbox.by_lane.items()},
        "breaker": _breaker_document(inbox.breaker),
    }


def _breaker_document(breaker: Breaker | None) -> Json:
    if breaker is None:
        return None
    return {
        "reason": breaker.reason,
        "since": to_json(breaker.since),
        "until": to_json(breaker.until),
    }


def _workers_document(needed: Need | None, inbox: Backlog) -> Json:
    return {
        "workers": inbox.workers,
        "processes": inbox.processes,
        "drainers": inbox.drainers,
        "processes_needed": needed.processes if needed else None,
        "events_per_second_each": round(needed.rate, 1) if needed else None,
        "measured": needed.measured if needed else None,
    }


def _settled_document(books: DatabaseCounts) -> Json:
    return {
        "last_minute": books.last_minute,
        "last_hour": books.last_hour,
        "per_second": round(books.last_minute / 60, 2),
    }


def overview_table(seen: Overview, before: Overview | None = None) -> "Table":
    """Return a table with one line for each number."""
    return key_values([*_rows(seen, before)])


def _rows(seen: Overview, before: Overview | None) -> Iterator[tuple[str, str]]:
    yield from seen.troubles.items()
    yield from (("lost", describe_database(loss)) for loss in seen.losses.database)
    yield from (("lost", describe_accepts(loss)) for loss in seen.losses.accepts)
    if seen.inbox:
        yield from _inbox_rows(seen.inbox, before)
        yield from _worker_rows(seen.need, seen.inbox)
    if seen.books:
        yield from _book_rows(seen.books)


def _inbox_rows(inbox: Backlog, before: Overview | None) -> Iterator[tuple[str, str]]:
    yield "as of", format_time(inbox.at)
    oldest = f", the oldest {format_duration(inbox.oldest_seconds)} old" if inbox.events else ""
    yield "in the inbox", f"{_events(inbox.events)}{oldest}"
    waiting = f", waiting up to {format_duration(inbox.waiting_seconds)}" if inbox.due else ""
    yield "  due", f"{inbox.due}{waiting}"
    yield "  claimed", str(inbox.claimed)
    yield "  parked", str(inbox.parked)
    if before:
        yield "arriving", f"{arrival_rate(before.inbox, inbox):.1f}/s"
    if inbox.breaker:
        until = f"closes at {format_time(inbox.breaker.until)} unless a probe fails again"
        since = f"open {format_duration(inbox.breaker_seconds)}, no event is applied"
        yield "breaker", f"{since}: {inbox.breaker.reason}; {until}"
    else:
        yield "breaker", "closed"
    yield from _fetch_rows(inbox)
    if inbox.conflicts:
        yield "conflicts", f"{inbox.conflicts} different events under ids already in use"
    if inbox.unknown_version:
        yield "unknown format", f"{inbox.unknown_version}: upgrade the workers to apply them"


def _fetch_rows(inbox: Backlog) -> Iterator[tuple[str, str]]:
    """Yield rows about Stripe's API if events wait for it or its breaker is open."""
    waiting, breaker = inbox.by_lane.get(Lane.FETCH, 0), inbox.fetch_breaker
    if waiting:
        yield "to be fetched", f"{_events(waiting)}, by a worker with STRIPE_API_KEY"
    if breaker:
        yield "Stripe's API", f"no requests until {format_time(breaker.until)}: {breaker.reason}"


def _worker_rows(needed: Need | None, inbox: Backlog) -> Iterator[tuple[str, str]]:
    running = f"{inbox.workers} with {inbox.processes} processes, {inbox.drainers} busy"
    if inbox.breaker and inbox.breaker.since:
        running += f", waiting for PostgreSQL since {format_time(inbox.breaker.since)}"
    yield "workers", running if inbox.processes else "none: start `paidup worker`"
    if needed and inbox.due + inbox.claimed:
        how = "measured" if needed.measured else "assumed, no event waited long enough to measure"
        goal = f"to clear it in {TARGET_SECONDS:.0f} s"
        yield "processes needed", f"{needed.processes} {goal} ({needed.rate:.0f}/s each, {how})"
    elif needed:
        yield "processes needed", f"{needed.processes}, no event is waiting"


def _book_rows(books: DatabaseCounts) -> Iterator[tuple[str, str]]:
    minute = f"{books.last_minute} in the last minute ({books.last_minute / 60:.1f}/s)"
    yield "settled", f"{minute}, {books.last_hour} in the last hour"
    if books.unfetched:
        how = "set STRIPE_API_KEY, then `paidup replay --unfetched`"
        yield "not fetched", f"{_events(books.unfetched)}: {how}"
    letters = ", ".join(f"{count} {state}" for state, count in books.letters.items())
    yield "dead letters", letters
    version = books.catalogue_version
    yield "catalogue", f"version {version}" if version else "none yet: run `paidup migrate`"


def _events(number: int) -> str:
    return "1 event" if number == 1 else f"{number} events"
