"""Collect and print the result of an import, or of its preview."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Final

from ops.export.import_file import ImportedEvent, ImportFile
from ops.replay.render import (
    counts_document,
    events_document,
    format_counts,
    is_notable,
    print_results,
)
from ops.replay.requeue import RequeueStatus
from ops.replay.run import DONE, Replay, ReplayResult, ReplayStatus
from ops.terminal.output import Json, print_text
from runtime.ledger.deliveries import REPLAY, Delivery
from runtime.ledger.prepare import Scope, prepare

MAX_RESULTS: Final = 1000
"""The most results that are kept to be listed; all are counted."""

_EXPECTED: Final = DONE - {ReplayStatus.EXCLUDED}
"""The usual statuses of an import: most events were superseded or ignored before, too."""

_STATUSES: Final = {
    RequeueStatus.ALREADY_SETTLED: ReplayStatus.ALREADY_SETTLED,
    RequeueStatus.EXCLUDED: ReplayStatus.EXCLUDED,
    RequeueStatus.INVALID: ReplayStatus.FAILED,
}


@dataclass(slots=True)
class ImportResult:
    """The results of all events so far."""

    counts: Counter[ReplayStatus] = field(default_factory=Counter)
    requeued: int = 0
    interrupted: bool = False
    results: dict[str, ReplayResult] = field(default_factory=dict)
    """The first results that need attention."""

    def add(self, replay: Replay) -> None:
        """Add the results of one batch."""
        self.counts.update(replay.counts())
        self.requeued += replay.requeued
        self.interrupted = replay.interrupted
        for each in replay.results.values():
            if len(self.results) < MAX_RESULTS and each.status not in _EXPECTED:
                self.results[each.key] = each


@dataclass(slots=True)
class ImportPreview:
    """The status that each event would get, judged on its own."""

    counts: Counter[ReplayStatus] = field(default_factory=Counter)
    results: dict[str, ReplayResult] = field(default_factory=dict)

    def add(
        self, event: ImportedEvent, skipped: tuple[RequeueStatus, str] | None, scope: Scope
    ) -> None:
        """Add one event."""
        status, detail = _preview(event, skipped, scope)
        self.counts[status] += 1
        result = ReplayResult(key=event.key, status=status, detail=detail)
        if len(self.results) < MAX_RESULTS and is_notable(result):
            self.results[result.key] = result


def _preview(
    event: ImportedEvent, skipped: tuple[RequeueStatus, str] | None, scope: Scope
) -> tuple[ReplayStatus, str]:
    if skipped:
        return _STATUSES[skipped[0]], skipped[1]
    delivery = Delivery(
        envelope=event.envelope,
        received_at=event.received_at,
        attempts=1,
        origin=REPLAY,
        key=event.key,
    )
    (prepared,) = prepare([delivery], scope)
    if prepared.unreadable:
        return ReplayStatus.FAILED, str(prepared.unreadable)
    return (
        (ReplayStatus.IGNORED, prepared.ignored) if prepared.ignored else (ReplayStatus.QUEUED, "")
    )


def import_document(source: ImportFile, result: ImportResult) -> Json:
    """Return the results as JSON values."""
    return {
        "file": source.name,
        "sha256": source.digest,
        "asked": source.events,
        "requeued": result.requeued,
        "interrupted": result.interrupted,
        "counts": counts_document(result.counts),
        "events": events_document(result.results),
    }


def import_preview_document(source: ImportFile, preview: ImportPreview) -> Json:
    """Return the preview as JSON values."""
    return {
        "dry_run": True,
        "file": source.name,
        "sha256": source.digest,
        "asked": source.events,
        "counts": counts_document(preview.counts),
        "events": events_document(preview.results),
    }


def print_import(source: ImportFile, result: ImportResult) -> None:
    """Print the results that need attention, and the number of events by status."""
    print_results(result.results, of=source.events)
    print_text(f"{_describe(source)}: {format_counts(result.counts)}", style="bold")
    if result.interrupted:
        left = result.counts[ReplayStatus.NOT_STARTED]
        print_text(
            f"interrupted: {result.requeued} were requeued, workers settle them; {left} are"
            " not started; the same command does the rest"
        )


def print_import_preview(source: ImportFile, preview: ImportPreview) -> None:
    """Print the preview: results that need attention, and the number of events by status."""
    print_results(preview.results, of=source.events)
    print_text(
        f"Dry run, nothing was changed. {_describe(source)}: {format_counts(preview.counts)}",
        style="bold",
    )


def _describe(source: ImportFile) -> str:
    return f"{source.events} {'event' if source.events == 1 else 'events'} of {source.name}"
