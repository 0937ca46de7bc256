"""Print the overview of `paidup status`, or turn it into JSON values."""

from collections.abc import Iterator, Sequence
from functools import partial

from ops.status.breaker import describe_breaker, describe_workers
from ops.status.comparisons import describe_disagreement, disagreement_document
from ops.status.losses import describe_accepts, describe_database, losses_document
from ops.status.overview import DatabaseCounts, Overview
from ops.status.refused import describe_mismatches, describe_wrong_path
from ops.status.room import describe_room, room_document
from ops.status.stripe import describe_run, describe_usage
from ops.terminal.command_name import with_command_name
from ops.terminal.disks import describe_disk, disk_document
from ops.terminal.formats import format_count, format_duration, format_rate, format_time
from ops.terminal.output import Json, pick_fields, print_pairs, to_json
from runtime.inbox.api_requests import ALLOCATION, ApiUsage
from runtime.inbox.entries import Backlog, Lane
from runtime.ledger.maintenance.archive_updates import UpdateProgress
from runtime.ledger.maintenance.outdated import OutdatedCount
from runtime.sizing.need import Need


def as_document(seen: Overview) -> Json:
    """Return both halves as JSON values; ``unavailable`` says why a half is null."""
    inbox, need, database = seen.inbox, seen.need, seen.database
    return {
        "ok": not seen.troubles,
        "unavailable": dict(seen.troubles),
        "metrics_folders_without_room": {str(at): why for at, why in seen.without_room.items()},
        "wrong_paths": to_json(seen.wrong_paths),
        "mismatched_signatures": to_json(seen.mismatches),
        "disks": [disk_document(disk) for disk in seen.disks],
        "inbox": _inbox_document(inbox) if inbox else None,
        "room": room_document(seen.room) if seen.room else None,
        "workers": _workers_document(need, inbox) if need and inbox else None,
        "settled": _settled_document(database) if database else None,
        "dead_letters": dict(database.letters) if database else None,
        "catalogue_version": database.catalogue_version if database else None,
        "unfetched": database.unfetched if database else None,
        "outdated": to_json(database.outdated) if database else None,
        "access": pick_fields(database, "ending_soon", "ended") if database else None,
        "archive_updates": _updates_document(database.archive_updates) if database else None,
        "stripe_runs": to_json(database.runs) if database else None,
        "stripe_reads": [_usage_document(usage) for usage in seen.api_usage],
        "behind_pooler": database.behind_pooler if database else None,
        "stripe": disagreement_document(database.disagreement) if database else None,
        "lost": losses_document(seen.losses),
    }


def _inbox_document(inbox: Backlog) -> Json:
    names = ("at", "events", "due", "parked", "claimed", "conflicts", "unknown_version")
    return {
        **pick_fields(inbox, *names),
        "oldest_seconds": round(inbox.oldest_seconds, 3),
        "waiting_seconds": round(inbox.waiting_seconds, 3),
        "fetch": {"due": inbox.fetch_due, "breaker": to_json(inbox.fetch_breaker)},
        **pick_fields(inbox, "by_lane", "breaker"),
    }


def _workers_document(needed: Need, inbox: Backlog) -> Json:
    return {
        **pick_fields(inbox, "workers", "processes", "drainers"),
        "processes_needed": needed.processes,
        "events_per_second_each": round(needed.rate, 1),
        "measured": needed.measured,
    }


def _settled_document(database: DatabaseCounts) -> Json:
    per_second = round(database.last_minute / 60, 2)
    return {**pick_fields(database, "last_minute", "last_hour"), "per_second": per_second}


def _updates_document(updates: Sequence[UpdateProgress]) -> Json:
    return {
        "parties": len(updates),
        "archives_left": sum(each.archives_left for each in updates),
        "oldest_since": to_json(updates[0].began_at if updates else None),
    }


def _usage_document(usage: ApiUsage) -> Json:
    allowed = {"allowed_at_least": ALLOCATION}
    return {**pick_fields(usage, "account", "today", "in_30_days"), **allowed} | {
        "pause": to_json(usage.pause)
    }


_events = partial(format_count, noun="event")


def print_overview(seen: Overview) -> None:
    """Print one line for each number."""
    print_pairs((name, with_command_name(says)) for name, says in _rows(seen))


def _rows(seen: Overview) -> Iterator[tuple[str, str]]:
    yield from seen.troubles.items()
    yield from (("lost", describe_database(loss)) for loss in seen.losses.database)
    yield from (("lost", describe_accepts(loss)) for loss in seen.losses.accepts)
    for folder, reason in seen.without_room.items():
        todo = "make room, then restart what runs here to count again"
        yield "metrics folder", f"{folder} {reason}, nothing is counted: {todo}"
    yield from (("wrong path", describe_wrong_path(path)) for path in seen.wrong_paths)
    if seen.mismatches:
        yield "signatures", describe_mismatches(seen.mismatches)
    yield from (("disk", describe_disk(disk)) for disk in seen.disks)
    if seen.inbox and seen.need:
        yield from _inbox_rows(seen.inbox)
        if seen.room:
            yield "room", describe_room(seen.room)
        yield from _worker_rows(seen.need, seen.inbox)
    if seen.database:
        yield from _database_rows(seen.database)
        yield from (("Stripe run", describe_run(run)) for run in seen.database.runs)
    yield from (("Stripe reads", describe_usage(usage)) for usage in seen.api_usage)


def _inbox_rows(inbox: Backlog) -> Iterator[tuple[str, str]]:
    yield "as of", format_time(inbox.at)
    oldest = f", the oldest {format_duration(inbox.oldest_seconds)} old" if inbox.events else ""
    yield "in the inbox", f"{format_count(inbox.events, 'event')}{oldest}"
    waiting = f", waiting up to {format_duration(inbox.waiting_seconds)}" if inbox.due else ""
    yield "  due", f"{inbox.due}{waiting}"
    yield "  claimed", str(inbox.claimed)
    yield "  parked", str(inbox.parked)
    if inbox.arriving is not None:
        yield "arriving", format_rate(inbox.arriving)
    yield "breaker", describe_breaker(inbox)
    yield from _fetch_rows(inbox)
    if inbox.conflicts:
        yield "conflicts", f"{inbox.conflicts} different events under ids already in use"
    if inbox.unknown_version:
        yield "unknown format", f"{inbox.unknown_version}: upgrade the workers to apply them"


def _fetch_rows(inbox: Backlog) -> Iterator[tuple[str, str]]:
    """Yield rows about Stripe's API if events wait for it or its breaker is open."""
    waiting, breaker = inbox.by_lane.get(Lane.FETCH, 0), inbox.fetch_breaker
    if waiting:
        yield "to be fetched", f"{format_count(waiting, 'event')}, by a worker with STRIPE_API_KEY"
    if breaker:
        yield "Stripe's API", f"no requests until {format_time(breaker.until)}: {breaker.reason}"


def _worker_rows(needed: Need, inbox: Backlog) -> Iterator[tuple[str, str]]:
    running = f"{describe_workers(inbox)}, {inbox.drainers} busy"
    if inbox.breaker and inbox.breaker.since:
        running += f", waiting for PostgreSQL since {format_time(inbox.breaker.since)}"
    yield "workers", running if inbox.processes else "none: start `paidup worker`"
    how = "measured" if needed.measured else "assumed until some batches are measured"
    yield "processes needed", f"{needed.processes} ({format_rate(needed.rate)} each, {how})"


def _outdated(outdated: OutdatedCount) -> str:
    counts = ((outdated.parties, "party", "parties"), (outdated.events, "event", "events"))
    return " and ".join(format_count(count, one, more) for count, one, more in counts if count)


def _archive_updates(updates: Sequence[UpdateProgress]) -> str:
    left = format_count(sum(each.archives_left for each in updates), "archive")
    parties = format_count(len(updates), "party", "parties")
    since = format_time(updates[0].began_at)
    return f"of {parties}, by a worker: {left} left, the oldest under way since {since}"


def _database_rows(database: DatabaseCounts) -> Iterator[tuple[str, str]]:
    minute = f"{database.last_minute} in the last minute ({format_rate(database.last_minute / 60)})"
    yield "settled", f"{minute}, {database.last_hour} in the last hour"
    if database.unfetched:
        how = "set STRIPE_API_KEY, then `paidup replay --unfetched --reason WHY`"
        yield "not fetched", f"{format_count(database.unfetched, 'event')}: {how}"
    if waiting := _outdated(database.outdated):
        yield (
            "to be read again",
            f"{waiting}, by a worker or `paidup rebuild --outdated --reason WHY`",
        )
    if database.ending_soon or database.ended:
        end = "ends" if database.ending_soon == 1 else "end"
        ended = f"{database.ended} ended within the last day"
        yield "access", f"{database.ending_soon} {end} within 7 days; {ended}"
    if updates := database.archive_updates:
        yield "archive updates", _archive_updates(updates)
    if says := describe_disagreement(database.disagreement):
        yield "Stripe", says
    letters = ", ".join(f"{count} {state}" for state, count in database.letters.items())
    yield "dead letters", letters
    version = database.catalogue_version
    yield "catalogue", f"version {version}" if version else "none yet: run `paidup migrate`"
    if database.behind_pooler:
        yield "PostgreSQL", "through a connection pooler"
