"""What a rebuild found to differ, for people and for programs."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

from billing.rows import EntitlementRow, Key
from ops.terminal.formats import stamp
from ops.terminal.output import Json, plain, say, show, table
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
class Findings:
    """Everything counted; of rows and grants the first ``limit`` are kept to be shown."""

    limit: int
    dry_run: bool
    parties: int = 0
    events: int = 0
    restated: int = 0
    rows: Counter[str] = field(default_factory=Counter)
    grants: Counter[str] = field(default_factory=Counter)
    kept: dict[str, str] = field(default_factory=dict)
    """Events that were left as they were, and why."""
    shown_rows: list[tuple[TableName, Key, bool]] = field(default_factory=list)
    """Table, key, and whether the row is to go."""
    shown_grants: list[AccessChange] = field(default_factory=list)

    def take(self, rebuilt: Rebuilt) -> None:
        """Add what was found in some parties."""
        self.parties += rebuilt.parties
        self.events += rebuilt.events
        self.restated += len(rebuilt.restated)
        self.kept |= rebuilt.kept
        for decision in rebuilt.decisions:
            self._note(decision)

    def _note(self, decision: Decision) -> None:
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
    findings: Findings, failed: Mapping[str, str], *, interrupted: bool
) -> dict[str, Json]:
    """Everything that was found, as JSON values."""
    return {
        "dry_run": findings.dry_run,
        "parties": findings.parties,
        "events_read": findings.events,
        "events_restated": findings.restated,
        "rows": dict(sorted(findings.rows.items())),
        "grants": {change: findings.grants[change] for change in CHANGES.values()},
        "changed_rows": [
            {"table": str(name), "key": list(key), "removed": gone}
            for name, key, gone in findings.shown_rows
        ],
        "changed_grants": [_grant_document(each) for each in findings.shown_grants],
        "kept": plain(findings.kept),
        "failed": plain(failed),
        "interrupted": interrupted,
    }


def print_rebuild(findings: Findings, failed: Mapping[str, str], *, interrupted: bool) -> None:
    """Access that changes, rows that change, what was left alone, and a summary."""
    if findings.shown_grants:
        columns = ("user", "change", "source", "plan", "before", "after")
        show(table(columns, (_grant(each) for each in findings.shown_grants)))
    if findings.shown_rows:
        say("\nrows", style="bold")
        drawn = (
            (name, " ".join(key), "removed" if gone else "written")
            for name, key, gone in findings.shown_rows
        )
        show(table(("table", "key", "is"), drawn))
    left = findings.rows.total() - len(findings.shown_rows)
    if left:
        say(f"and {left} more rows: --limit shows more", style="dim")
    for title, told in (("left as they were", findings.kept), ("failed", failed)):
        if told:
            say(f"\n{title}", style="bold yellow")
            show(table(("", "because"), told.items()))
    say(_summary(findings, interrupted=interrupted), style="bold")


def _summary(findings: Findings, *, interrupted: bool) -> str:
    rows = ", ".join(f"{name} {number}" for name, number in sorted(findings.rows.items()))
    found = f"rows that differ: {rows}" if rows else "nothing differs"
    events = f", {findings.events} events read" if findings.events else ""
    restated = f", {findings.restated} of them state something else" if findings.restated else ""
    done = "\ndry run, nothing was changed. " if findings.dry_run else "\n"
    end = "; interrupted: the same command does it all again" if interrupted else ""
    parties = f"{findings.parties} {'party' if findings.parties == 1 else 'parties'}"
    return f"{done}{parties} computed again{events}{restated}: {found}{end}"


def _grant_document(change: AccessChange) -> Json:
    return {
        "change": CHANGES[type(change)],
        "before": plain(asdict(change.before)) if change.before else None,
        "after": plain(asdict(change.after)) if change.after else None,
    }


def _grant(change: AccessChange) -> tuple[object, ...]:
    row = change.after or change.before
    assert row is not None, "a change has at least one side"  # noqa: S101 - for the reader
    names = (row.user_id, CHANGES[type(change)], row.source, row.plan_code)
    return (*names, _given(change.before), _given(change.after))


def _given(row: EntitlementRow | None) -> str:
    if row is None or not row.active:
        return "nothing"
    told = (
        name if value is True else f"{name} {value}" for name, value in row.entitlements.items()
    )
    until = f" until {stamp(row.expires_at)}" if row.expires_at else ""
    return f"{', '.join(told) or 'no feature'}{until}"
