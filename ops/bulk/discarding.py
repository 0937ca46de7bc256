"""Discard the items of a plan, a few at a time: those that are as they were planned."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ops.bulk.job import JobBook, as_they_are, changed_since
from ops.bulk.plans import PlannedItem
from ops.bulk.results import ReplayResult, ReplayStatus
from ops.terminal.formats import format_time
from runtime.failures.dead_letters import DiscardResult, discard
from runtime.inbox.inbox import Inbox


@dataclass(frozen=True, slots=True, kw_only=True)
class DiscardJob:
    """Discards the dead letters of one plan; ``on_discard`` gets the result of each that exists."""

    book: JobBook
    inbox: Inbox
    on_discard: Callable[[DiscardResult], None] = lambda _: None

    def discard(self, items: Sequence[PlannedItem]) -> list[ReplayResult]:
        """Discard a few; what is in the inbox again is tried once it is settled."""
        self.book.results.positions.update({item.key: item.position for item in items})
        results = self._left_alone(items)
        keys = [item.key for item in items if item.key not in results]
        plan = self.book.plan
        for each in discard(self.book.engine, keys, actor=plan.actor, reason=plan.reason):
            self.on_discard(each)
            results[each.key] = _result_of(each)
        return [results[item.key] for item in items]

    def _left_alone(self, items: Sequence[PlannedItem]) -> dict[str, ReplayResult]:
        pending = set(self.inbox.pending([item.key for item in items]))
        with self.book.engine.connect() as connection:
            now = as_they_are(connection, items)
        left = {key: ReplayResult(key=key, status=ReplayStatus.PENDING) for key in pending}
        for item in items:
            status, detail = changed_since(item, now.get(item.key), self.book.plan)
            # What was resolved meanwhile is told by the discard itself, in its transaction.
            if status is ReplayStatus.CHANGED or status is ReplayStatus.DISCARDED:
                left[item.key] = ReplayResult(key=item.key, status=status, detail=detail)
        return left


def _result_of(result: DiscardResult) -> ReplayResult:
    if result.discarded:
        detail = f"settled before ({result.outcome}) and stays so" if result.outcome else ""
        return ReplayResult(key=result.key, status=ReplayStatus.DISCARDED, detail=detail)
    by = f"{result.state} by {result.resolved_by}, at {format_time(result.resolved_at)}"
    return ReplayResult(key=result.key, status=ReplayStatus.RESOLVED_ELSEWHERE, detail=by)
