"""Run ``paidup replay --from FILE``: send the events of a file through the inbox.

The file is read as its events are requeued, so a year of events needs no more memory than a day.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from ops import connections
from ops.batches import chunks
from ops.bulk.preview import ReplayPreview, preview_delivery
from ops.bulk.requeue import put_into_inbox, send_wakes
from ops.bulk.results import DONE, ReplayResult, ReplayResults, ReplayStatus
from ops.bulk.run import Pace, Replay
from ops.bulk_audit import BulkAudit
from ops.errors import CommandFailed
from ops.export.import_file import FileChanged, ImportedEvent, ImportFile, open_import
from ops.export.import_observations import (
    OperatorOfImport,
    import_observations,
    preview_observations,
)
from ops.queries.replay_results import current_mark
from ops.replay.render import QUIET, print_preview, print_replay
from ops.replay.start import ReplayOptions, confirm, replay_settings, run_replay
from ops.terminal.command_name import command_name
from ops.terminal.operator_options import require_reason
from ops.terminal.progress import progress
from runtime.broker import Publish, WakePublisher, make_celery
from runtime.inbox.inbox import Inbox
from runtime.ledger.deliveries import REPLAY
from runtime.ledger.deployment import ledger_of
from runtime.ledger.prepare import Scope, prepare
from runtime.ledger.record import Ledger
from runtime.settings import Settings

REQUESTED: Final = "import.requested"
ENDED: Final = "import.ended"
BATCH_SIZE: Final = 25
"""Events that a preview checks at once; each may hold a megabyte."""

MAX_LISTED: Final = 1000

_EXPECTED: Final = DONE - {ReplayStatus.EXCLUDED} | {ReplayStatus.NOT_STARTED}
"""Not listed after an import: most events were superseded or ignored before, too."""


def import_events(name: str, options: ReplayOptions) -> int:
    """Read the file, ask, requeue its events, wait and report. Return the exit code."""
    settings = replay_settings(options)
    with connections.open_database(settings, application="replay") as engine:
        with connections.read_snapshot(engine) as connection:
            since = current_mark(connection)
        with open_import(name) as source:
            if options.dry_run:
                return _preview(settings, engine, source, as_json=options.as_json)
            confirm(source.events, "import", yes=options.yes)
            with connections.open_inbox(settings) as inbox:
                requeuer = ImportRequeuer(
                    engine=engine,
                    inbox=inbox,
                    publish=WakePublisher(make_celery(settings, role="publisher")).publish,
                    actor=options.actor,
                    reason=require_reason(options.reason),
                )
                ledger = ledger_of(settings, engine)
                return _import(requeuer, source, since, options, ledger)


def _import(
    requeuer: "ImportRequeuer",
    source: ImportFile,
    since: int,
    options: ReplayOptions,
    ledger: Ledger,
) -> int:
    audit = BulkAudit(
        engine=requeuer.engine,
        actor=requeuer.actor,
        reason=requeuer.reason,
        targets=[("file", source.digest)],
    )
    asked = {"events": source.events, "observations": source.observations}
    audit.record(REQUESTED, "done", {"file": source.name, **asked})
    replay = Replay(
        requeue=requeuer.requeue,
        inbox=requeuer.inbox,
        engine=requeuer.engine,
        mark=since,
        pace=Pace(rate=options.rate, clock=time.monotonic),
        wait=options.wait,
        todo=iter(source),
        total=source.events,
        results=ReplayResults(unlisted=_EXPECTED, limit=MAX_LISTED),
    )
    try:
        run_replay(replay, "importing")
        by = OperatorOfImport(requeuer.actor, requeuer.reason)
        observed = import_observations(ledger, source, by, interrupted=replay.interrupted)
    except FileChanged as error:
        audit.record(ENDED, "failed", {"requeued": replay.requeued})
        done = f"{replay.requeued} of {source.events} events were requeued"
        raise CommandFailed(f"{error}, {done}: import the whole file again") from error
    results = replay.results
    counts = {str(status): number for status, number in results.counts.items()}
    all_done = results.all_done and observed.all_done
    after = {"counts": counts, "observations": observed.counts}
    audit.record(ENDED, "done" if all_done else "failed", after)
    print_replay(replay, as_json=options.as_json, source=source.described, observed=observed)
    return 0 if all_done else 1


def _preview(settings: Settings, engine: Engine, source: ImportFile, *, as_json: bool) -> int:
    scope = Scope.of(settings)
    results = ReplayResults(unlisted=QUIET, limit=MAX_LISTED)
    with (
        progress("previewing", source.events) as report,
        connections.read_snapshot(engine) as connection,
    ):
        for events in chunks(source, BATCH_SIZE):
            skipped = reasons_to_skip(connection, events)
            for event, skip in zip(events, skipped, strict=True):
                results.add(skip or _preview_event(event, scope))
            report(results.counts.total())
    observed = preview_observations(ledger_of(settings, engine), source)
    preview = ReplayPreview(results=results)
    print_preview(preview, as_json=as_json, source=source.described, observed=observed)
    return 0 if results.all_done and observed.all_done else 1


def _preview_event(event: ImportedEvent, scope: Scope) -> ReplayResult:
    """Return the status that the event would get, judged on its own."""
    (prepared,) = prepare([preview_delivery(event.envelope, event.key, REPLAY)], scope)
    if prepared.unreadable:
        detail = str(prepared.unreadable)
        return ReplayResult(key=event.key, status=ReplayStatus.FAILED, detail=detail)
    if prepared.ignored:
        return ReplayResult(key=event.key, status=ReplayStatus.IGNORED, detail=prepared.ignored)
    return ReplayResult(key=event.key, status=ReplayStatus.QUEUED)


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportRequeuer:
    """Requeues the events of one file for one operator."""

    engine: Engine
    inbox: Inbox
    publish: Publish
    actor: str
    reason: str

    def requeue(self, events: Sequence[ImportedEvent]) -> list[ReplayResult]:
        """Requeue each of a few events, then send the wake-ups."""
        with self.engine.connect() as connection:
            skipped = reasons_to_skip(connection, events)
        wakes: list[str] = []
        results = [
            skip or self._requeue_one(event, wakes)
            for event, skip in zip(events, skipped, strict=True)
        ]
        send_wakes(self.inbox, self.publish, wakes)
        return results

    def _requeue_one(self, event: ImportedEvent, wakes: list[str]) -> ReplayResult:
        extra: dict[str, Any] = {
            "actor": self.actor,
            "reason": self.reason,
            "received_at": event.received_at.isoformat(),
        }
        if event.api_observations is not None:
            extra["api_observations"] = event.api_observations
        return put_into_inbox(self.inbox, event.envelope, event.key, extra, wakes)


def reasons_to_skip(
    connection: Connection, events: Sequence[ImportedEvent]
) -> list[ReplayResult | None]:
    """Return for each event its status if it must not be requeued, else None."""
    keys = {"keys": [event.key for event in events]}
    settled = {row.id: row.fingerprint for row in connection.execute(_SETTLED, keys)}
    discarded = frozenset(connection.scalars(_DISCARDED, keys))

    def reason_to_skip(event: ImportedEvent) -> ReplayResult | None:
        key = event.key
        status, detail = ReplayStatus.EXCLUDED, ""
        if event.discarded:
            detail = "discarded by an operator in the source database"
        elif key in discarded:
            detail = f"discarded here; `{command_name()} dead replay {key} --reason WHY` undoes it"
        elif key not in settled:
            return None
        elif settled[key] == event.envelope.fingerprint:
            status = ReplayStatus.ALREADY_SETTLED
        else:
            status, detail = ReplayStatus.FAILED, "another event with this id is settled here"
        return ReplayResult(key=key, status=status, detail=detail)

    return [*map(reason_to_skip, events)]


_SETTLED = sa.text("SELECT id, fingerprint FROM stripe_events WHERE id = ANY(:keys)")
_DISCARDED = sa.text(
    "SELECT event_id FROM dead_letters WHERE event_id = ANY(:keys) AND state = 'discarded'"
)
