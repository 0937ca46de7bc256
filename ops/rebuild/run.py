"""Run ``paidup rebuild``: recompute rows from stored facts, a few parties at a time."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, Engine

from billing.ids import PartyId
from ops import connections
from ops.batches import BatchRunner
from ops.bulk_audit import record_bulk_action
from ops.errors import CommandFailed
from ops.queries.parties import parties_of_user
from ops.rebuild.render import RebuildFindings, print_rebuild, rebuild_document
from ops.terminal.interrupt import Interruption
from ops.terminal.output import print_json
from ops.terminal.progress import progress
from runtime.ledger.catalogues import CatalogueCache
from runtime.ledger.maintenance import scan
from runtime.ledger.maintenance.rebuild import Rebuilder
from runtime.ledger.maintenance.reproject import CHUNK
from runtime.ledger.prepare import Scope
from runtime.settings import Settings

REQUESTED: Final = "rebuild.requested"
ENDED: Final = "rebuild.ended"
RETRY_COMMAND: Final = "the same command"
EVERYTHING: Final = ("database", "all")


@dataclass(frozen=True, slots=True, kw_only=True)
class RebuildOptions:
    """The users to rebuild, and how: the options of the command line."""

    users: Sequence[str]
    """Empty means every user."""
    dry_run: bool
    limit: int
    actor: str
    reason: str | None
    as_json: bool


def rebuild(settings: Settings, options: RebuildOptions) -> int:
    """Recompute the rows and report; write unless it is a dry run. Return the exit code."""
    with connections.open_database(settings, application="rebuild") as engine:
        with connections.read_snapshot(engine) as connection:
            chosen = _parties_of(connection, options.users) if options.users else None
            total = scan.count_named(connection) if chosen is None else len(chosen)
        run = _RebuildRun(
            settings=settings, engine=engine, options=options, chosen=chosen, total=total
        )
        return run.execute()


@dataclass(frozen=True, slots=True, kw_only=True)
class _RebuildRun:
    settings: Settings
    engine: Engine
    options: RebuildOptions
    chosen: Sequence[PartyId] | None
    total: int

    def execute(self) -> int:
        findings = RebuildFindings(limit=self.options.limit, dry_run=self.options.dry_run)
        self._audit(REQUESTED, "done", None)
        failed, interrupted = self._rebuild(findings)
        document = rebuild_document(findings, failed, interrupted=interrupted)
        whole = not failed and not interrupted
        counted = ("parties", "rows", "grants", "interrupted")
        self._audit(
            ENDED, "done" if whole else "failed", {name: document[name] for name in counted}
        )
        if self.options.as_json:
            print_json(document)
        else:
            print_rebuild(findings, failed, interrupted=interrupted)
        return 0 if whole else 1

    def _rebuild(self, findings: RebuildFindings) -> tuple[dict[str, str], bool]:
        rebuilder, pause = self._rebuilder(), Interruption().pause
        runner = BatchRunner[PartyId](
            do=lambda parties: findings.add(rebuilder.from_facts(parties)),
            pause=pause,
            retry_command=RETRY_COMMAND,
        )
        with progress("recomputing", self.total) as report:
            runner.run(self._pages(), report)
        return runner.failed, runner.interrupted

    def _rebuilder(self) -> Rebuilder:
        settings = self.settings
        scope = Scope(livemode=settings.effective_livemode(), accounts=settings.connect_accounts)
        return Rebuilder(
            engine=self.engine,
            catalogues=CatalogueCache(),
            scope=scope,
            actor=self.options.actor,
            reason=self.options.reason,
            dry_run=self.options.dry_run,
        )

    def _pages(self) -> Iterable[Sequence[PartyId]]:
        if self.chosen is None:
            return scan.pages(self.engine, scan.named_parties, size=CHUNK)
        return _chunks(self.chosen)

    def _audit(self, action: str, outcome: str, after: Any) -> None:
        if self.options.dry_run:
            return
        record_bulk_action(
            self.engine,
            action,
            outcome,
            actor=self.options.actor,
            reason=self.options.reason,
            targets=[("user", user) for user in self.options.users] or [EVERYTHING],
            after=after,
        )


def _parties_of(connection: Connection, users: Sequence[str]) -> list[PartyId]:
    found: set[str] = set()
    for user in users:
        parties = parties_of_user(connection, user)
        if not parties:
            raise CommandFailed(
                f"no row names {user}: nothing was changed; `paidup rebuild --all` checks every row"
            )
        found |= parties
    return [PartyId(party) for party in sorted(found)]


def _chunks(parties: Sequence[PartyId]) -> Iterator[Sequence[PartyId]]:
    for start in range(0, len(parties), CHUNK):
        yield parties[start : start + CHUNK]
