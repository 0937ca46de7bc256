"""Collect and print what a rebuild found to differ."""

from dataclasses import dataclass, field
from typing import Final

from billing.rows import Key
from ops.queries.rows import GrantChange
from ops.terminal.formats import format_count, format_grant
from ops.terminal.output import Columns, print_json, print_rows, print_text, to_json
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


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangedRow:
    """A row that differs; ``removed`` if it is deleted."""

    table: TableName
    key: Key
    removed: bool


@dataclass(slots=True, kw_only=True)
class RebuildFindings:
    """Counts of all differences, the first rows and grants in detail, and the failed parties."""

    dry_run: bool
    parties: int = 0
    rows: dict[str, int] = field(default_factory=dict)
    grants: dict[str, int] = field(default_factory=lambda: dict.fromkeys(CHANGES.values(), 0))
    changed_rows: list[ChangedRow] = field(default_factory=list)
    changed_grants: list[GrantChange] = field(default_factory=list)
    archives: list[str] = field(default_factory=list)
    """Parties whose archives were not what their facts say."""
    updating: list[str] = field(default_factory=list)
    """Parties whose archives were being updated in steps."""
    failed: dict[str, str] = field(default_factory=dict)
    """The error of each party that could not be recomputed."""
    interrupted: bool = False

    def add(self, rebuilt: Rebuilt, *, limit: int) -> None:
        """Add the differences found in some parties; keep the details of the first ``limit``."""
        self.parties += rebuilt.parties
        for decision in rebuilt.decisions:
            self._add_decision(decision)
        self.archives += rebuilt.archives
        self.updating += rebuilt.updating
        del self.changed_rows[limit:], self.changed_grants[limit:]

    def _add_decision(self, decision: Decision) -> None:
        match decision:
            case EntitlementGranted() | EntitlementChanged() | EntitlementRevoked():
                change = GrantChange.of(decision)
                self.grants[change.change] += 1
                self.changed_grants.append(change)
            case RowUpserted():
                self._add_row(decision.table, decision.row.key, removed=False)
            case RowDeleted():
                self._add_row(decision.table, decision.key, removed=True)
            case _:
                pass

    def _add_row(self, table: TableName, key: Key, *, removed: bool) -> None:
        self.rows[table] = self.rows.get(table, 0) + 1
        self.changed_rows.append(ChangedRow(table=table, key=key, removed=removed))


def print_rebuild(findings: RebuildFindings, *, as_json: bool) -> None:
    """Print the grants and rows that change, the parties that failed, and a summary."""
    if as_json:
        print_json(to_json(findings))
        return
    if findings.changed_grants:
        print_rows(_GRANT_COLUMNS, findings.changed_grants)
    print_rows(_ROW_COLUMNS, findings.changed_rows, title="rows")
    left = sum(findings.rows.values()) - len(findings.changed_rows)
    if left:
        print_text(f"{format_count(left, 'more row')}: --limit shows more", style="dim")
    print_rows(_FAILED_COLUMNS, findings.failed.items(), title="failed")
    print_text(_summary(findings), style="bold")


def _summary(findings: RebuildFindings) -> str:
    rows = ", ".join(f"{name} {number}" for name, number in sorted(findings.rows.items()))
    found = f"rows that differ: {rows}" if rows else "nothing differs"
    if findings.archives:
        count = format_count(len(findings.archives), "party", "parties")
        found += f"; the archives of {count} differ"
    if findings.updating:
        count = format_count(len(findings.updating), "party was", "parties were")
        ends = "hence the differences" if findings.dry_run else "which is done now"
        found += f"; {count} being updated in steps, {ends}"
    dry_run = "\nDry run, nothing was changed. " if findings.dry_run else "\n"
    end = "; interrupted: the same command starts over" if findings.interrupted else ""
    parties = format_count(findings.parties, "party", "parties")
    return f"{dry_run}{parties} recomputed: {found}{end}"


_GRANT_COLUMNS: Final[Columns[GrantChange]] = {
    "user": lambda grant: grant.user_id,
    "change": lambda grant: grant.change,
    "source": lambda grant: grant.source,
    "plan": lambda grant: grant.plan_code,
    "before": lambda grant: format_grant(grant.before),
    "after": lambda grant: format_grant(grant.after),
}
_FAILED_COLUMNS: Final[Columns[tuple[str, str]]] = {
    "party": lambda failed: failed[0],
    "error": lambda failed: failed[1],
}
_ROW_COLUMNS: Final[Columns[ChangedRow]] = {
    "table": lambda row: row.table,
    "key": lambda row: " ".join(row.key),
    "is": lambda row: "deleted" if row.removed else "written",
}
