"""Run ``paidup replay --from FILE``: send the events of a file through the inbox.

The file is read in batches of a thousand events, so a year of events needs no more memory than a
day.
"""

import os
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import sqlalchemy as sa
from redis.exceptions import RedisError
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError

from ops import connections
from ops.bulk_audit import record_bulk_action
from ops.errors import CommandFailed, user_message
from ops.export.import_file import ImportedEvent, ImportFile, open_import
from ops.export.render import (
    ImportPreview,
    ImportResult,
    import_document,
    import_preview_document,
    print_import,
    print_import_preview,
)
from ops.queries.replay_results import current_mark
from ops.replay.requeue import RequeueResult, RequeueStatus, put_into_inbox, send_wakes
from ops.replay.run import DONE, Pace, Replay, ReplayStatus
from ops.replay.start import ReplayOptions, confirm, logs_on_stderr, progress_reporter
from ops.replay.targets import Target
from ops.terminal.interrupt import Interruption
from ops.terminal.operator_options import require_reason
from ops.terminal.output import print_json
from ops.terminal.progress import ReportProgress, progress
from ops.up.up_file import settings as find_settings
from runtime.broker import WakePublisher, make_celery
from runtime.inbox.inbox import Inbox
from runtime.ledger.prepare import Scope
from runtime.settings import Settings

REQUESTED: Final = "import.requested"
ENDED: Final = "import.ended"
BATCH_SIZE: Final = 1000
BATCH_BYTES: Final = 64 * 1024 * 1024


def import_events(name: str, options: ReplayOptions) -> int:
    """Read the file, ask, requeue its events, wait and report. Return the exit code."""
    needed = ["DATABASE_URL"] if options.dry_run else ["DATABASE_URL", "REDIS_URL"]
    settings = find_settings(os.environ, *needed)
    if not options.dry_run:
        require_reason(options.reason)
    with connections.open_database(settings, application="replay") as engine:
        with connections.read_snapshot(engine) as connection:
            since = current_mark(connection)
        with open_import(name) as source:
            if options.dry_run:
                return _preview(settings, engine, source, as_json=options.as_json)
            confirm(source.events, "import", yes=options.yes)
            publish = WakePublisher(make_celery(settings, role="publisher")).publish
            with connections.open_inbox(settings) as inbox:
                return _ImportRun(
                    engine=engine,
                    inbox=inbox,
                    publish=publish,
                    source=source,
                    options=options,
                    since=since,
                ).execute()


@dataclass(frozen=True, slots=True, kw_only=True)
class _ImportRun:
    engine: Engine
    inbox: Inbox
    publish: Callable[[str], bool]
    source: ImportFile
    options: ReplayOptions
    since: int
    result: ImportResult = field(default_factory=ImportResult)

    def execute(self) -> int:
        self._audit(REQUESTED, "done", {"file": self.source.name, "events": self.source.events})
        pace = Pace(rate=self.options.rate, clock=time.monotonic)
        pause = Interruption().pause
        with logs_on_stderr(), progress("importing", self.source.events) as report:
            for batch in _batches(self.source):
                replay = self._replay(batch, pace)
                self._run(replay, pause, progress_reporter(self._after_earlier_batches(report)))
                if replay.interrupted:
                    break
        return self._report()

    def _after_earlier_batches(self, report: ReportProgress) -> ReportProgress:
        before = self.result.counts.total()

        def report_in_total(done: int, detail: str = "") -> None:
            report(before + done, detail)

        return report_in_total

    def _replay(self, batch: Mapping[str, ImportedEvent], pace: Pace) -> Replay:
        requeuer = ImportRequeuer(
            engine=self.engine,
            inbox=self.inbox,
            publish=self.publish,
            actor=self.options.actor,
            reason=require_reason(self.options.reason),
            events=batch,
        )
        return Replay(
            requeue=requeuer.requeue,
            inbox=self.inbox,
            engine=self.engine,
            mark=self.since,
            pace=pace,
            wait=self.options.wait,
            todo=deque(Target(key=key, is_dead_letter=False) for key in batch),
        )

    def _run(
        self, replay: Replay, pause: Callable[[float], None], report: Callable[[Replay], None]
    ) -> None:
        try:
            replay.run(pause, report)
        except (RedisError, SQLAlchemyError) as error:
            requeued = self.result.requeued + replay.requeued
            done = f"{requeued} of {self.source.events} events were requeued"
            raise CommandFailed(
                f"{user_message(error)}; {done}: run the same command again"
            ) from error
        self.result.add(replay)

    def _report(self) -> int:
        counts = self.result.counts
        counts[ReplayStatus.NOT_STARTED] += self.source.events - counts.total()
        whole = counts.keys() - {status for status in counts if not counts[status]} <= DONE
        by_status = {str(status): number for status, number in counts.items() if number}
        self._audit(ENDED, "done" if whole else "failed", {"counts": by_status})
        if self.options.as_json:
            print_json(import_document(self.source, self.result))
        else:
            print_import(self.source, self.result)
        return 0 if whole else 1

    def _audit(self, action: str, outcome: str, after: dict[str, Any]) -> None:
        record_bulk_action(
            self.engine,
            action,
            outcome,
            actor=self.options.actor,
            reason=self.options.reason,
            targets=[("file", self.source.digest)],
            after=after,
        )


def _batches(source: Iterable[ImportedEvent]) -> Iterator[dict[str, ImportedEvent]]:
    """Yield batches of at most 1000 events and about 64 MiB, each with distinct ids."""
    some: dict[str, ImportedEvent] = {}
    size = 0
    for each in source:
        if some and (len(some) == BATCH_SIZE or size > BATCH_BYTES or each.key in some):
            yield some
            some, size = {}, 0
        some[each.key] = each
        size += len(each.envelope.body) + len(each.fetched or "")
    yield some


def _preview(settings: Settings, engine: Engine, source: ImportFile, *, as_json: bool) -> int:
    scope = Scope(livemode=settings.effective_livemode(), accounts=settings.connect_accounts)
    preview = ImportPreview()
    with (
        progress("previewing", source.events) as report,
        connections.read_snapshot(engine) as connection,
    ):
        for some in _batches(source):
            here = load_known_events(connection, list(some))
            for each in some.values():
                preview.add(each, here.reason_to_skip(each), scope)
            report(preview.counts.total(), "")
    if as_json:
        print_json(import_preview_document(source, preview))
    else:
        print_import_preview(source, preview)
    return 0 if preview.counts.keys() <= DONE else 1


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownEvents:
    """This database's view of some events: settled fingerprints and discarded letters."""

    settled: Mapping[str, str]
    discarded: frozenset[str]

    def reason_to_skip(self, event: ImportedEvent) -> tuple[RequeueStatus, str] | None:
        """Return the status and details of an event that must not be requeued, else None."""
        if event.discarded:
            return RequeueStatus.EXCLUDED, "discarded by an operator in the source database"
        if event.key in self.discarded:
            return (
                RequeueStatus.EXCLUDED,
                f"discarded here; `paidup dead replay {event.key}` undoes it",
            )
        fingerprint = self.settled.get(event.key)
        if fingerprint is None:
            return None
        if fingerprint != event.envelope.fingerprint:
            return RequeueStatus.INVALID, "another event with this id is settled here"
        return RequeueStatus.ALREADY_SETTLED, ""


def load_known_events(connection: Connection, keys: Sequence[str]) -> KnownEvents:
    """Return what this database knows of these events."""
    values = {"keys": list(keys)}
    return KnownEvents(
        settled={row.id: row.fingerprint for row in connection.execute(_SETTLED, values)},
        discarded=frozenset(connection.scalars(_DISCARDED, values)),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportRequeuer:
    """Requeues the events of one file for one operator."""

    engine: Engine
    inbox: Inbox
    publish: Callable[[str], bool]
    actor: str
    reason: str
    events: Mapping[str, ImportedEvent]

    def requeue(self, targets: Sequence[Target]) -> list[RequeueResult]:
        """Requeue each of a few targets, then send the wake-ups."""
        with self.engine.connect() as connection:
            here = load_known_events(connection, [target.key for target in targets])
        wakes: list[str] = []
        results = [self._requeue_one(target, here, wakes) for target in targets]
        send_wakes(self.inbox, self.publish, wakes)
        return results

    def _requeue_one(self, target: Target, here: KnownEvents, wakes: list[str]) -> RequeueResult:
        event = self.events[target.key]
        if skipped := here.reason_to_skip(event):
            return RequeueResult(target=target, status=skipped[0], detail=skipped[1])
        extra = self._extra(event)
        status = put_into_inbox(self.inbox, event.envelope, target.key, extra, wakes)
        return RequeueResult(target=target, status=status)

    def _extra(self, event: ImportedEvent) -> dict[str, Any]:
        extra = {
            "actor": self.actor,
            "reason": self.reason,
            "received_at": event.received_at.isoformat(),
        }
        return extra | ({"fetched": event.fetched} if event.fetched else {})


_SETTLED = sa.text("SELECT id, fingerprint FROM stripe_events WHERE id = ANY(:keys)")


_DISCARDED = sa.text(
    "SELECT event_id FROM dead_letters WHERE event_id = ANY(:keys) AND state = 'discarded'"
)
