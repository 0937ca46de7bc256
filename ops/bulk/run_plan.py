"""Run one plan in this process, be it a command at a terminal or ``paidup jobs run``."""

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

import sqlalchemy as sa
from sqlalchemy import Engine

from models.tables import BulkItem
from ops.bulk.discarding import DiscardJob
from ops.bulk.job import JobBook, JobResults, ReplayJob
from ops.bulk.lease import LeaseLost, claim, new_owner, release
from ops.bulk.plans import DISCARD, PlannedAction, PlannedItem
from ops.bulk.preview import ReplayPreviewer
from ops.bulk.requeue import Requeuer
from ops.bulk.results import ReplayResult, ReplayStatus
from ops.bulk.run import Pace, Replay
from ops.bulk.stored_preview import items_of
from runtime.broker import Publish, WakePublisher, make_celery
from runtime.failures.dead_letters import DiscardResult
from runtime.inbox.inbox import Inbox
from runtime.settings import Settings

_LISTED: Final = 1000

Drive = Callable[[Replay[PlannedItem], Callable[[float], None]], None]
"""Run the replay with a pause that also saves its results."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanRunner:
    """The servers and choices with which a process runs plans.

    ``owner`` names the process; ``keep_all`` keeps every result to print it, else only a part.
    """

    settings: Settings
    engine: Engine
    inbox: Inbox
    pause: Callable[[float], None]
    publish: Publish | None = None
    owner: str = field(default_factory=new_owner)
    wait: bool = True
    keep_all: bool = False
    on_discard: Callable[[DiscardResult], None] = lambda _: None

    def run(self, plan: int, drive: Drive | None = None) -> Replay[PlannedItem] | None:
        """Run the plan until it is done, paused, cancelled or interrupted.

        Return None if it is not running, or another living process runs it.
        """
        found = claim(self.engine, plan, self.owner, state="running")
        if found is None:
            return None
        try:
            return self._run(found, drive or _drive)
        finally:
            release(self.engine, plan, self.owner)

    def _run(self, plan: PlannedAction, drive: Drive) -> Replay[PlannedItem]:
        results = JobResults() if self.keep_all else _few_results()
        book = JobBook(engine=self.engine, plan=plan, owner=self.owner, results=results)
        replay = Replay(
            requeue=self._act(book),
            inbox=self.inbox,
            engine=self.engine,
            mark=plan.mark or 0,
            pace=Pace(rate=plan.rate, clock=time.monotonic),
            wait=self.wait,
            todo=items_of(self.engine, plan.id, states=("waiting",)),
            total=self._waiting(plan),
            results=results,
            through_inbox=plan.action != DISCARD,
        )

        def pause(seconds: float) -> None:
            self.pause(seconds)
            book.save_if_due()

        drive(replay, pause)
        self._end(book, interrupted=replay.interrupted)
        return replay

    def _act(self, book: JobBook) -> Callable[[Sequence[PlannedItem]], list[ReplayResult]]:
        if book.plan.action == DISCARD:
            return DiscardJob(book=book, inbox=self.inbox, on_discard=self.on_discard).discard
        publish = (
            self.publish or WakePublisher(make_celery(self.settings, role="publisher")).publish
        )
        previewed = book.plan.previewed_at is not None
        requeuer = Requeuer(
            engine=self.engine,
            inbox=self.inbox,
            publish=publish,
            actor=book.plan.actor,
            reason=book.plan.reason,
            mark=book.plan.mark or 0,
            plan=book.plan.id,
            guarded=previewed,
        )
        previewer = ReplayPreviewer(self.settings, self.engine) if previewed else None
        return ReplayJob(book=book, requeuer=requeuer, previewer=previewer).requeue

    def _waiting(self, plan: PlannedAction) -> int:
        query = sa.select(sa.func.count()).where(
            BulkItem.plan == plan.id, BulkItem.state == "waiting"
        )
        with self.engine.connect() as connection:
            return int(connection.execute(query).scalar_one())

    def _end(self, book: JobBook, *, interrupted: bool) -> None:
        if not interrupted:
            with suppress(LeaseLost):
                book.save(end=True)
                return
        book.save_after_stop()


def _drive(replay: Replay[PlannedItem], pause: Callable[[float], None]) -> None:
    replay.run(pause, lambda _: None)


def _few_results() -> JobResults:
    return JobResults(unlisted=frozenset({ReplayStatus.NOT_STARTED}), limit=_LISTED)
