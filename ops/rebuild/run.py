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
from ops.queries.lookups import describe_missing, look_up_one, parties_meant
from ops.queries.parties import configured_realms
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
            subjects = _subjects(settings, connection, options.users)
            chosen = sorted(frozenset[str]().union(*subjects.values()))
            total = len(chosen) if options.users else scan.count_named(connection)
        pages: Iterable[Sequence[PartyId]] = (
            chunks([PartyId(party) for party in chosen], CHUNK)
            if options.users
            else scan.pages(engine, scan.named_parties, size=CHUNK)
        )
        audit = BulkAudit(
            engine=engine,
            actor=options.actor,
            reason=options.reason,
            targets=[*subjects] or [("database", "all")],
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
        scope=Scope.of(settings),
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


def _subjects(
    settings: Settings, connection: Connection, texts: Sequence[str]
) -> dict[tuple[str, str], frozenset[str]]:
    """Return the parties to recompute by what the audit names: a user, or a party without one.

    Raises:
        CommandFailed: a text means no party, or several users.
    """
    realms, found = configured_realms(settings), dict[tuple[str, str], frozenset[str]]()
    for text in texts:
        lookup = look_up_one(connection, realms, text)
        parties = parties_meant(connection, lookup)
        if not parties:
            why = describe_missing(lookup) or (
                f"no row names {text}: `paidup rebuild --all --dry-run` checks every row"
            )
            raise CommandFailed(f"{why}; nothing was changed")
        if lookup.users:
            found["user", lookup.user] = parties
        else:
            found.update({("party", party): frozenset({party}) for party in parties})
    return found
