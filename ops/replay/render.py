"""Print a replay and its preview, as text or JSON."""

from collections import Counter
from collections.abc import Mapping
from typing import Final, TypeVar

from billing.rows import EntitlementRow, PaymentRow
from ops.replay.preview import ReplayPreview
from ops.replay.run import Replay, ReplayResult, ReplayStatus
from ops.terminal.formats import format_grant, format_money
from ops.terminal.output import Columns, Json, print_rows, print_text, to_json

R = TypeVar("R", EntitlementRow, PaymentRow)

_QUIET = frozenset(
    {
        ReplayStatus.APPLIED,
        ReplayStatus.ALREADY_APPLIED,
        ReplayStatus.ALREADY_SETTLED,
        ReplayStatus.QUEUED,
        ReplayStatus.NOT_STARTED,
    }
)
_FEW = 50
"""Up to this many events, each one is listed, even if it needs no attention."""


def replay_document(replay: Replay) -> Json:
    """Return the result of each event as JSON values."""
    return {
        "asked": replay.total,
        "requeued": replay.requeued,
        "interrupted": replay.interrupted,
        "counts": counts_document(replay.counts()),
        "events": events_document(replay.results),
    }


def print_replay(replay: Replay) -> None:
    """Print the result of each event; of many events, only of those that need attention."""
    _print_events(replay.results)
    print_text(_summary(replay.counts()), style="bold")
    if replay.interrupted:
        left = replay.counts()[ReplayStatus.NOT_STARTED]
        print_text(
            f"interrupted: {replay.requeued} of {replay.total} were requeued, workers settle them;"
            f" {left} are not started; the same command does the rest"
        )


def preview_document(preview: ReplayPreview) -> Json:
    """Return the preview as JSON values."""
    return {
        "dry_run": True,
        "asked": len(preview.results),
        "counts": counts_document(preview.counts()),
        **changes_document(preview),
        "events": events_document(preview.results),
    }


def print_preview(preview: ReplayPreview) -> None:
    """Print the status that each event would get, and the rows that would change."""
    _print_events(preview.results)
    print_changes(preview)
    if preview.rows:
        written = ", ".join(f"{name} {count}" for name, count in sorted(preview.rows.items()))
        print_text(f"rows that would be written: {written}", style="dim")
    print_text(f"\nDry run, nothing was changed. {_summary(preview.counts())}", style="bold")


def print_changes(preview: ReplayPreview) -> None:
    """Print entitlements and payments before and after."""
    grants, payments = preview.entitlements.pairs(), preview.payments.pairs()
    if grants:
        print_text("\nentitlements", style="bold")
        print_rows(_GRANT_COLUMNS, grants)
    if payments:
        print_text("\npayments", style="bold")
        print_rows(_PAYMENT_COLUMNS, payments)
    if not grants and not payments:
        print_text("\nno entitlement and no payment would change")


def changes_document(preview: ReplayPreview) -> dict[str, Json]:
    """Return the changes of entitlements, payments and rows as JSON values."""
    return {
        "entitlements": [_changed_row(*pair) for pair in preview.entitlements.pairs()],
        "payments": [_changed_row(*pair) for pair in preview.payments.pairs()],
        "rows": dict(sorted(preview.rows.items())),
    }


def format_counts(counts: Mapping[ReplayStatus, int]) -> str:
    """Return the number of events by status, as text."""
    return ", ".join(f"{counts[status]} {status}" for status in ReplayStatus if counts.get(status))


def _summary(counts: Counter[ReplayStatus]) -> str:
    total = counts.total()
    return f"{total} {'event' if total == 1 else 'events'}: {format_counts(counts)}"


def print_results(results: Mapping[str, ReplayResult], *, of: int) -> None:
    """Print one line for each result, and how many of all ``of`` events are left out."""
    if results:
        print_rows(_RESULT_COLUMNS, results.values())
    if len(results) < of:
        print_text(f"{of - len(results)} more need no attention", style="dim")


def is_notable(result: ReplayResult) -> bool:
    """Return whether this result needs the operator's attention."""
    return result.status not in _QUIET


def _print_events(results: Mapping[str, ReplayResult]) -> None:
    few = len(results) <= _FEW
    shown = {key: each for key, each in results.items() if few or is_notable(each)}
    print_results(shown, of=len(results))


def counts_document(counts: Mapping[ReplayStatus, int]) -> Json:
    """Return the number of events by status, as JSON values."""
    return {str(status): counts[status] for status in ReplayStatus if counts.get(status)}


def events_document(results: Mapping[str, ReplayResult]) -> Json:
    """Return the results as JSON values."""
    return [
        {"event": each.key, "status": str(each.status), "because": each.detail or None}
        for each in results.values()
    ]


def _changed_row(before: R | None, after: R | None) -> Json:
    return {"before": to_json(before), "after": to_json(after)}


def _row_of(pair: tuple[R | None, R | None]) -> R:
    row = pair[1] or pair[0]
    assert row is not None, "a change has at least one side"  # noqa: S101 - for the reader
    return row


def _format_payment(row: PaymentRow | None) -> str:
    if row is None:
        return "nothing"
    refunded = row.amount_refunded_minor
    back = f", {format_money(refunded, row.currency)} refunded" if refunded else ""
    return f"{format_money(row.amount_minor, row.currency)} {row.status}{back}"


_GRANT_COLUMNS: Final[Columns[tuple[EntitlementRow | None, EntitlementRow | None]]] = {
    "user": lambda pair: _row_of(pair).user_id,
    "source": lambda pair: _row_of(pair).source,
    "plan": lambda pair: _row_of(pair).plan_code,
    "before": lambda pair: format_grant(pair[0]),
    "after": lambda pair: format_grant(pair[1]),
}
_PAYMENT_COLUMNS: Final[Columns[tuple[PaymentRow | None, PaymentRow | None]]] = {
    "payment": lambda pair: _row_of(pair).payment_ref,
    "user": lambda pair: _row_of(pair).user_id,
    "before": lambda pair: _format_payment(pair[0]),
    "after": lambda pair: _format_payment(pair[1]),
}
_RESULT_COLUMNS: Final[Columns[ReplayResult]] = {
    "event": lambda result: result.key,
    "status": lambda result: result.status,
    "because": lambda result: result.detail,
}
