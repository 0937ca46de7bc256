"""Join neighbouring intervals into longer ones, for a drawing that has fewer places. Pure."""

from collections.abc import Sequence

from runtime.history.distribution import merge
from runtime.history.intervals import History, InboxLevels, IngestCounts, Interval, WorkerCounts


def join_intervals(history: History, number: int) -> History:
    """Return the history with each ``number`` of intervals in one, counted from the newest.

    Counts are added and levels keep their highest. A part is unknown only if it was in all of them.
    """
    intervals = history.intervals
    first = len(intervals) % number
    groups = [intervals[at : at + number] for at in range(first, len(intervals), number)]
    if first:
        groups.insert(0, intervals[:first])
    return History(intervals=tuple(_join(group) for group in groups))


def _join(group: Sequence[Interval]) -> Interval:
    return Interval(
        start=group[0].start,
        seconds=sum(each.seconds for each in group),
        ingest=_join_ingest([each.ingest for each in group if each.ingest]),
        workers=_join_workers([each.workers for each in group if each.workers]),
        inbox=_join_inbox([each.inbox for each in group if each.inbox]),
    )


def _join_ingest(known: Sequence[IngestCounts]) -> IngestCounts | None:
    if not known:
        return None
    return IngestCounts(
        observed_seconds=sum(each.observed_seconds for each in known),
        accepted=sum(each.accepted for each in known),
        duplicate=sum(each.duplicate for each in known),
        invalid=sum(each.invalid for each in known),
        refused=sum(each.refused for each in known),
        seconds=merge(each.seconds for each in known),
    )


def _join_workers(known: Sequence[WorkerCounts]) -> WorkerCounts | None:
    if not known:
        return None
    outcomes = dict.fromkeys(outcome for each in known for outcome in each.by_outcome)
    return WorkerCounts(
        observed_seconds=sum(each.observed_seconds for each in known),
        by_outcome={
            outcome: sum(each.by_outcome.get(outcome, 0) for each in known) for outcome in outcomes
        },
        lag=merge(each.lag for each in known),
    )


def _join_inbox(known: Sequence[InboxLevels]) -> InboxLevels | None:
    if not known:
        return None
    letters = [each.dead_letters for each in known if each.dead_letters is not None]
    return InboxLevels(
        backlog=max(each.backlog for each in known),
        oldest_due_seconds=max(each.oldest_due_seconds for each in known),
        dead_letters=max(letters, default=None),
    )
