"""Import observations that no event asked for: the ledger records them without the inbox.

They keep what had them asked. The actor and the reason are those of the import.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from sqlalchemy.exc import SQLAlchemyError

from ops.batches import chunks
from ops.errors import CommandFailed, user_message
from ops.export.import_file import ImportedObservation, ImportFile
from ops.terminal.progress import progress
from runtime.ledger.errors import LedgerError
from runtime.ledger.observe import ObserveCause, ObservedChange, ObservedObject, ObserveOrigin
from runtime.ledger.record import Ledger

AT_ONCE: Final = 50
"""Observations in one transaction."""

MAX_FAILED: Final = 100
"""Failures that are named; the others are counted."""

Record = Callable[[Sequence[ImportedObservation]], Sequence[ObservedChange]]


class OperatorOfImport(NamedTuple):
    """The person who imports, and why."""

    actor: str
    reason: str


@dataclass(slots=True)
class ObservedResults:
    """The results of imported observations by what became of them."""

    counts: dict[str, int] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)

    @property
    def all_done(self) -> bool:
        """True if all of them are recorded or known."""
        return not self.counts.keys() & {"failed", "not started"}

    def add(self, word: str, number: int = 1) -> None:
        """Count some."""
        if number:
            self.counts[word] = self.counts.get(word, 0) + number


def import_observations(
    ledger: Ledger, source: ImportFile, by: OperatorOfImport, *, interrupted: bool
) -> ObservedResults:
    """Record the observations of a file, some at a time; none if the import was interrupted.

    Raises:
        CommandFailed: the database failed; the error says how many are recorded.
        FileChanged: a line cannot be read any more.
    """
    results = ObservedResults()
    if interrupted:
        results.add("not started", source.observations)
        return results

    def record(some: Sequence[ImportedObservation]) -> list[ObservedChange]:
        changes = []
        for origin in sorted({each.origin for each in some}):
            cause = ObserveCause(actor=by.actor, origin=origin, reason=by.reason)
            changes += ledger.observe(_of(some, origin), cause)
        return changes

    _run(record, source, results, "recorded")
    return results


def preview_observations(ledger: Ledger, source: ImportFile) -> ObservedResults:
    """Return what would become of the observations of a file, each judged on its own."""
    results = ObservedResults()
    _run(
        lambda some: ledger.preview_observed([each.observed for each in some]),
        source,
        results,
        "to be recorded",
    )
    return results


def _of(some: Sequence[ImportedObservation], origin: ObserveOrigin) -> list[ObservedObject]:
    return [each.observed for each in some if each.origin == origin]


def _run(record: Record, source: ImportFile, results: ObservedResults, word: str) -> None:
    if not source.observations:
        return
    with progress("observations", source.observations) as report:
        for some in chunks(source.observed(), AT_ONCE):
            try:
                _add(results, record(some), word)
            except LedgerError:
                _one_by_one(record, some, results, word)
            except SQLAlchemyError as error:
                done = sum(results.counts.values())
                raise CommandFailed(
                    f"{user_message(error)}; {done} of {source.observations} observations are"
                    " done: run the same command again"
                ) from error
            report(sum(results.counts.values()))


def _one_by_one(
    record: Record, some: Sequence[ImportedObservation], results: ObservedResults, word: str
) -> None:
    for each in some:
        try:
            _add(results, record([each]), word)
        except LedgerError as error:
            results.add("failed")
            if len(results.failed) < MAX_FAILED:
                results.failed[each.observed.observation.id] = str(error)


def _add(results: ObservedResults, changes: Sequence[ObservedChange], word: str) -> None:
    known = sum(each.unchanged for each in changes)
    results.add(word, len(changes) - known)
    results.add("known", known)
