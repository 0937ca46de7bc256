"""How Paidup is doing, for people and for programs."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from ops.status.overview import Books, Overview, arriving
from ops.status.sizing import TARGET_SECONDS, Need
from ops.terminal.formats import span, stamp
from ops.terminal.output import Json, facing, plain
from runtime.inbox.entries import Backlog, Breaker, Lane

if TYPE_CHECKING:
    from rich.table import Table


def as_document(seen: Overview) -> Json:
    """Both halves as JSON values; what is away is null, and ``away`` says why."""
    return {
        "ok": not seen.troubles,
        "away": dict(seen.troubles),
        "inbox": _inbox_document(seen.inbox) if seen.inbox else None,
        "workers": _workers_document(seen.need, seen.inbox) if seen.inbox else None,
        "settled": _settled_document(seen.books) if seen.books else None,
        "dead_letters": dict(seen.books.letters) if seen.books else None,
        "catalogue_version": seen.books.catalogue_version if seen.books else None,
        "unfetched": seen.books.unfetched if seen.books else None,
    }


def _inbox_document(inbox: Backlog) -> Json:
    names = ("events", "due", "parked", "claimed", "conflicts", "unknown_version")
    return {
        "at": plain(inbox.at),
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
    return {"reason": breaker.reason, "until": plain(breaker.until)}


def _workers_document(needed: Need | None, inbox: Backlog) -> Json:
    return {
        "workers": inbox.workers,
        "processes": inbox.processes,
        "drainers": inbox.drainers,
        "processes_needed": needed.processes if needed else None,
        "events_per_second_each": round(needed.rate, 1) if needed else None,
        "measured": needed.measured if needed else None,
    }


def _settled_document(books: Books) -> Json:
    return {
        "last_minute": books.last_minute,
        "last_hour": books.last_hour,
        "per_second": round(books.last_minute / 60, 2),
    }


def drawn(seen: Overview, before: Overview | None = None) -> "Table":
    """Both halves, a line for each number."""
    return facing([*_rows(seen, before)])


def _rows(seen: Overview, before: Overview | None) -> Iterator[tuple[str, str]]:
    yield from seen.troubles.items()
    if seen.inbox:
        yield from _inbox_rows(seen.inbox, before)
        yield from _worker_rows(seen.need, seen.inbox)
    if seen.books:
        yield from _book_rows(seen.books)


def _inbox_rows(inbox: Backlog, before: Overview | None) -> Iterator[tuple[str, str]]:
    yield "looked at", stamp(inbox.at)
    oldest = f", the oldest came {span(inbox.oldest_seconds)} ago" if inbox.events else ""
    yield "in the inbox", f"{_events(inbox.events)}{oldest}"
    waiting = f", waiting up to {span(inbox.waiting_seconds)}" if inbox.due else ""
    yield "  due", f"{inbox.due}{waiting}"
    yield "  claimed", str(inbox.claimed)
    yield "  parked", str(inbox.parked)
    if before:
        yield "coming in", f"{arriving(before.inbox, inbox):.1f}/s"
    if inbox.breaker:
        until = f"closes at {stamp(inbox.breaker.until)} unless it is renewed"
        yield "breaker", f"open, nothing is applied: {inbox.breaker.reason}; {until}"
    else:
        yield "breaker", "closed"
    yield from _fetch_rows(inbox)
    if inbox.conflicts:
        yield "conflicts", f"{inbox.conflicts} different events under ids that were taken"
    if inbox.unknown_version:
        yield "unknown format", f"{inbox.unknown_version} wait for a newer release of the worker"


def _fetch_rows(inbox: Backlog) -> Iterator[tuple[str, str]]:
    """Only where something waits for Stripe's API, or it is not asked."""
    waiting, breaker = inbox.by_lane.get(Lane.FETCH, 0), inbox.fetch_breaker
    if waiting:
        yield "to be fetched", f"{_events(waiting)}, by a worker that has STRIPE_API_KEY"
    if breaker:
        yield "Stripe's API", f"not asked until {stamp(breaker.until)}: {breaker.reason}"


def _worker_rows(needed: Need | None, inbox: Backlog) -> Iterator[tuple[str, str]]:
    running = f"{inbox.workers} with {inbox.processes} processes, {inbox.drainers} at work"
    yield "workers", running if inbox.processes else "none: start `paidup worker`"
    if needed and inbox.due + inbox.claimed:
        how = "measured" if needed.measured else "assumed, nothing waited long enough to measure"
        goal = f"to be done in {TARGET_SECONDS:.0f} s"
        yield "processes needed", f"{needed.processes} {goal} ({needed.rate:.0f}/s each, {how})"
    elif needed:
        yield "processes needed", f"{needed.processes}, nothing waits"


def _book_rows(books: Books) -> Iterator[tuple[str, str]]:
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
