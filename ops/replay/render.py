"""Print a replay and its preview, as text or JSON."""

from collections.abc import Iterable, Mapping
from typing import Any, Final, Protocol

from billing.rows import EntitlementRow, PaymentRow
from ops.bulk.preview import ReplayPreview
from ops.bulk.results import ReplayResult, ReplayResults, ReplayStatus
from ops.bulk.run import Replay
from ops.queries.rows import row_of
from ops.terminal.formats import format_count, format_grant
from ops.terminal.money import format_payment
from ops.terminal.output import Columns, Json, print_json, print_rows, print_text, to_json

Source = Mapping[str, str]
"""The imported file: its name as ``file``, its digest as ``sha256``."""

NO_FILE: Final[Source] = {}
QUIET: Final = frozenset(
    {
        ReplayStatus.APPLIED,
        ReplayStatus.ALREADY_APPLIED,
        ReplayStatus.ALREADY_SETTLED,
        ReplayStatus.QUEUED,
        ReplayStatus.NOT_STARTED,
    }
)
"""Statuses that need no attention."""

_FEW = 50
"""Up to this many events, each one is listed, even if it needs no attention."""


class ObservedCounts(Protocol):
    """Imported observations by what became of them, and what is wrong with some."""

    @property
    def counts(self) -> Mapping[str, int]:
        """The number of observations that were recorded, known and so on; empty for none."""

    @property
    def failed(self) -> Mapping[str, str]:
        """The reason why an observation was not recorded, by its id."""


def print_replay(
    replay: Replay[Any],
    *,
    as_json: bool,
    source: Source = NO_FILE,
    observed: ObservedCounts | None = None,
) -> None:
    """Print the result of each event; of many events, only of those that need attention."""
    if as_json:
        numbers = {"requeued": replay.requeued, "interrupted": replay.interrupted}
        beside = _observed_document(observed)
        document = _document(replay.results)
        print_json({**source, "asked": replay.total, **numbers, **document, **beside})
        return
    _print_results(replay.results)
    print_text(_summary(replay.results, source), style="bold")
    _print_observed(observed)
    left = replay.results.counts[ReplayStatus.NOT_STARTED]
    if left and not replay.interrupted:
        print_text(
            f"the file was cut while it was imported, {left} of its events are missing: run the"
            " same command with the whole file"
        )
    if replay.interrupted:
        print_text(
            f"interrupted: {replay.requeued} of {replay.total} were requeued, workers settle them;"
            f" {left} are not started; the same command does the rest"
        )


def print_preview(
    preview: ReplayPreview,
    *,
    as_json: bool,
    source: Source = NO_FILE,
    observed: ObservedCounts | None = None,
) -> None:
    """Print the status that each event would get; unless it is of a file, the rows as well."""
    results = preview.results
    if as_json:
        changes = {} if source else changes_document(preview)
        asked = {"asked": results.counts.total(), **changes}
        beside = _observed_document(observed)
        print_json({"dry_run": True, **source, **asked, **_document(results), **beside})
        return
    _print_results(results)
    if not source:
        print_changes(preview)
    if preview.rows:
        written = ", ".join(f"{name} {count}" for name, count in sorted(preview.rows.items()))
        print_text(f"rows that would be written: {written}", style="dim")
    print_text(f"\nDry run, nothing was changed. {_summary(results, source)}", style="bold")
    _print_observed(observed)


def _observed_document(observed: ObservedCounts | None) -> dict[str, Json]:
    if observed is None:
        return {}
    return {"observations": dict(observed.counts), "observations_failed": dict(observed.failed)}


def _print_observed(observed: ObservedCounts | None) -> None:
    """Print what became of imported observations, if the file holds any."""
    if observed is None or not observed.counts:
        return
    for name, why in observed.failed.items():
        print_text(f"{name}: {why}")
    numbers = ", ".join(f"{number} {word}" for word, number in observed.counts.items() if number)
    print_text(f"API observations: {numbers}", style="bold")


def print_changes(preview: ReplayPreview) -> None:
    """Print entitlements and payments before and after."""
    grants, payments = preview.entitlements.pairs(), preview.payments.pairs()
    print_rows(_GRANT_COLUMNS, grants, title="entitlements")
    print_rows(_PAYMENT_COLUMNS, payments, title="payments")
    if not grants and not payments:
        print_text("\nno entitlement and no payment would change")


def changes_document(preview: ReplayPreview) -> dict[str, Json]:
    """Return the changes of entitlements, payments and rows as JSON values."""
    return {
        "entitlements": _before_and_after(preview.entitlements.pairs()),
        "payments": _before_and_after(preview.payments.pairs()),
        "rows": dict(sorted(preview.rows.items())),
    }


def _before_and_after(pairs: Iterable[tuple[object, object]]) -> Json:
    return [{"before": to_json(before), "after": to_json(after)} for before, after in pairs]


def format_counts(counts: Mapping[ReplayStatus, int]) -> str:
    """Return the number of events by status, as text."""
    return ", ".join(f"{counts[status]} {status}" for status in ReplayStatus if counts.get(status))


def _summary(results: ReplayResults, source: Source) -> str:
    of = f" of {source['file']}" if source else ""
    events = format_count(results.counts.total(), "event")
    return f"{events}{of}: {format_counts(results.counts)}"


def _print_results(results: ReplayResults) -> None:
    total = results.counts.total()
    shown = [each for each in results.listed.values() if total <= _FEW or each.status not in QUIET]
    if shown:
        print_rows(_RESULT_COLUMNS, shown)
    if len(shown) < total:
        print_text(f"{total - len(shown)} more need no attention", style="dim")


def _document(results: ReplayResults) -> dict[str, Json]:
    return {
        "counts": {
            str(status): number for status in ReplayStatus if (number := results.counts[status])
        },
        "events": [
            {"event": each.key, "status": str(each.status), "because": each.detail or None}
            for each in results.listed.values()
        ],
    }


def _format_payment(row: PaymentRow | None) -> str:
    if row is None:
        return "nothing"
    return format_payment(row.amount_minor, row.amount_refunded_minor, row.currency, row.status)


_GRANT_COLUMNS: Final[Columns[tuple[EntitlementRow | None, EntitlementRow | None]]] = {
    "user": lambda pair: row_of(*pair).user_id,
    "source": lambda pair: row_of(*pair).source,
    "plan": lambda pair: row_of(*pair).plan_code,
    "before": lambda pair: format_grant(pair[0]),
    "after": lambda pair: format_grant(pair[1]),
}
_PAYMENT_COLUMNS: Final[Columns[tuple[PaymentRow | None, PaymentRow | None]]] = {
    "payment": lambda pair: row_of(*pair).payment_ref,
    "user": lambda pair: row_of(*pair).user_id,
    "before": lambda pair: _format_payment(pair[0]),
    "after": lambda pair: _format_payment(pair[1]),
}
_RESULT_COLUMNS: Final[Columns[ReplayResult]] = {
    "event": lambda result: result.key,
    "status": lambda result: result.status,
    "because": lambda result: result.detail,
}
