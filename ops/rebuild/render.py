"""Collect and print what a rebuild found to differ."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from billing.rows import EntitlementRow, Key
from ops.terminal.formats import format_grant
from ops.terminal.output import (
    Columns,
    Json,
    make_table,
    print_rows,
    print_table,
    print_text,
    to_json,
)
from runtime.ledger.decisions import (
    Decision,
    EntitlementChanged,
    EntitlementGranted,
    EntitlementRevoked,
    RowDeleted,
    RowUpserted,
)
from runtime.ledger.maintenance.rebuild import Rebuilt
from runtime.ledger.rows import TableName
from runtime.ledger.write import CHANGES

AccessChange = EntitlementGranted | EntitlementChanged | EntitlementRevoked


@dataclass(slots=True, kw_only=True)
class RebuildFindings:
    """Counts of all differences, and the first ``limit`` rows and grants in detail."""

    limit: int
    dry_run: bool
    parties: int = 0
    rows: Counter[str] = field(default_factory=Counter)
    grants: Counter[str] = field(default_factory=Counter)
    shown_rows: list[tuple[TableName, Key, bool]] = field(default_factory=list)
    """Table, key, and True for a row to be deleted."""
    shown_grants: list[AccessChange] = field(default_factory=list)

    def add(self, rebuilt: Rebuilt) -> None:
        """Add the differences found in some parties."""
        self.parties += rebuilt.parties
        for decision in rebuilt.decisions:
            self._add_decision(decision)

    def _add_decision(self, decision: Decision) -> None:
        if isinstance(decision, AccessChange):
            self.grants[CHANGES[type(decision)]] += 1
            if len(self.shown_grants) < self.limit:
                self.shown_grants.append(decision)
        elif isinstance(decision, RowUpserted):
            self._row(decision.table, decision.row.key, gone=False)
        elif isinstance(decision, RowDeleted):
            self._row(decision.table, decision.key, gone=True)

    def _row(self, name: TableName, key: Key, *, gone: bool) -> None:
        self.rows[name] += 1
        if len(self.shown_rows) < self.limit:
            self.shown_rows.append((name, key, gone))


def rebuild_document(
    findings: RebuildFindings, failed: Mapping[str, str], *, interrupted: bool
) -> dict[str, Json]:
    """Return all findings as JSON values."""
    return {
        "dry_run": findings.dry_run,
        "parties": findings.parties,
        "rows": dict(sorted(findings.rows.items())),
        "grants": {change: findings.grants[change] for change in CHANGES.values()},
        "changed_rows": [
            {"table": str(name), "key": list(key), "removed": gone}
            for name, key, gone in findings.shown_rows
        ],
        "changed_grants": [_grant_document(each) for each in findings.shown_grants],
        "failed": to_json(failed),
        "interrupted": interrupted,
    }


def print_rebuild(
    findings: RebuildFindings, failed: Mapping[str, str], *, interrupted: bool
) -> None:
    """Print the grants and rows that change, the parties that failed, and a summary."""
    if findings.shown_grants:
        print_rows(_GRANT_COLUMNS, findings.shown_grants)
    if findings.shown_rows:
        print_text("\nrows", style="bold")
        print_rows(_ROW_COLUMNS, findings.shown_rows)
    left = findings.rows.total() - len(findings.shown_rows)
    if left:
        print_text(f"{left} more rows: --limit shows more", style="dim")
    if failed:
        print_text("\nfailed", style="bold yellow")
        print_table(make_table(("party", "error"), failed.items()))
    print_text(_summary(findings, interrupted=interrupted), style="bold")


def _summary(findings: RebuildFindings, *, interrupted: bool) -> str:
    rows = ", ".join(f"{name} {number}" for name, number in sorted(findings.rows.items()))
    found = f"rows that differ: {rows}" if rows else "nothing differs"
    dry_run = "\nDry run, nothing was changed. " if findings.dry_run else "\n"
    end = "; interrupted: the same command starts over" if interrupted else ""
    parties = f"{findings.parties} {'party' if findings.parties == 1 else 'parties'}"
    return f"{dry_run}{parties} recomputed: {found}{end}"


def _grant_document(change: AccessChange) -> Json:
    before_and_after = {"before": to_json(change.before), "after": to_json(change.after)}
    return {"change": CHANGES[type(change)], **before_and_after}


def _row_of(change: AccessChange) -> EntitlementRow:
    row = change.after or change.before
    assert row is not None, "a change has at least one side"  # noqa: S101 - for the reader
    return row


_GRANT_COLUMNS: Final[Columns[AccessChange]] = {
    "user": lambda change: _row_of(change).user_id,
    "change": lambda change: CHANGES[type(change)],
    "source": lambda change: _row_of(change).source,
    "plan": lambda change: _row_of(change).plan_code,
    "before": lambda change: format_grant(change.before),
    "after": lambda change: format_grant(change.after),
}
_ROW_COLUMNS: Final[Columns[tuple[TableName, Key, bool]]] = {
    "table": lambda row: row[0],
    "key": lambda row: " ".join(row[1]),
    "is": lambda row: "deleted" if row[2] else "written",
}
