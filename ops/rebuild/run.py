"""Run ``paidup rebuild``: recompute rows from stored facts, a few parties at a time."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, Engine

from billing.ids import PartyId
from ops import connections
from ops.batches import BatchRunner, chunks
from ops.bulk_audit import BulkAudit
from ops.errors import CommandFailed
from ops.queries.parties import parties_of_user
from ops.rebuild.render import RebuildFindings, print_rebuild
from ops.terminal.interrupt import Interruption
from ops.terminal.progress import ReportProgress, progress
from runtime.ledger.catalogues import CatalogueCache
from runtime.ledger.maintenance import scan
from runtime.ledger.maintenance.rebuild import Rebuilder
from runtime.ledger.maintenance.reproject import CHUNK
from runtime.ledger.prepare import Scope
from runtime.settings import Settings

REQUESTED: Final = "rebuild.requested"
ENDED: Final = "rebuild.ended"
RETRY_COMMAND: Final = "the same command"


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
            chosen = _parties_of(connection, options.users)
            total = len(chosen) if options.users else scan.count_named(connection)
        pages: Iterable[Sequence[PartyId]] = (
            chunks(chosen, CHUNK)
            if options.users
            else scan.pages(engine, scan.named_parties, size=CHUNK)
        )
        audit = BulkAudit(
            engine=engine,
            actor=options.actor,
            reason=options.reason,
            targets=[("user", user) for user in options.users] or [("database", "all")],
        )
        if not options.dry_run:
            audit.record(REQUESTED, "done", None)
        with progress("recomputing", total) as report:
            findings = _rebuild(settings, engine, options, pages, report)
        whole = not findings.failed and not findings.interrupted
        if not options.dry_run:
            counted = ("parties", "rows", "grants", "interrupted")
            after = {name: getattr(findings, name) for name in counted}
            audit.record(ENDED, "done" if whole else "failed", after)
    print_rebuild(findings, as_json=options.as_json)
    return 0 if whole else 1


def _rebuild(
    settings: Settings,
    engine: Engine,
    options: RebuildOptions,
    pages: Iterable[Sequence[PartyId]],
    report: ReportProgress,
) -> RebuildFindings:
    findings = RebuildFindings(dry_run=options.dry_run)
    rebuilder = Rebuilder(
        engine=engine,
        catalogues=CatalogueCache(),
        scope=Scope(livemode=settings.effective_livemode(), accounts=settings.connect_accounts),
        actor=options.actor,
        reason=options.reason,
        dry_run=options.dry_run,
    )
    runner = BatchRunner[PartyId](
        do=lambda parties: findings.add(rebuilder.from_facts(parties), limit=options.limit),
        pause=Interruption().pause,
        retry_command=RETRY_COMMAND,
    )
    runner.run(pages, report)
    findings.failed, findings.interrupted = runner.failed, runner.interrupted
    return findings


def _parties_of(connection: Connection, users: Sequence[str]) -> list[PartyId]:
    found: set[str] = set()
    for user in users:
        parties = parties_of_user(connection, user)
        if not parties:
            raise CommandFailed(
                f"no row names {user}: nothing was changed;"
                " `paidup rebuild --all --dry-run` checks every row"
            )
        found |= parties
    return [PartyId(party) for party in sorted(found)]
