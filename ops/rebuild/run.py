"""What ``paidup rebuild`` does once it is known whose rows are meant."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, Engine

from billing.ids import EventId, PartyId
from ops import connections as doors
from ops.batches import March
from ops.bulk_audit import Audited
from ops.errors import NotDone
from ops.queries.parties import parties_of_user
from ops.rebuild.render import Findings, print_rebuild, rebuild_document
from ops.terminal.interrupt import Interruption
from ops.terminal.output import emit_json
from ops.terminal.progress import progress
from runtime.ledger.catalogues import Catalogues
from runtime.ledger.maintenance import scan as walk
from runtime.ledger.maintenance.rebuild import Rebuilder
from runtime.ledger.maintenance.reproject import CHUNK
from runtime.ledger.prepare import Scope
from runtime.settings import Settings

REQUESTED: Final = "rebuild.requested"
ENDED: Final = "rebuild.ended"
AGAIN: Final = "the same command"
EVERYTHING: Final = ("database", "all")


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """Whose rows are to be computed again, from what, and on whose word."""

    users: Sequence[str]
    """None of them means everybody's."""
    from_events: bool
    dry_run: bool
    limit: int
    actor: str
    reason: str | None
    as_json: bool


def rebuild(settings: Settings, wish: Wish) -> int:
    """Compute, tell, and write unless it is a dry run; the exit code."""
    with doors.database(settings, asker="rebuild") as engine:
        with doors.snapshot(engine) as connection:
            chosen = _parties_of(connection, wish.users) if wish.users else None
            total = walk.count_named(connection) if chosen is None else len(chosen)
        run = _Run(settings=settings, engine=engine, wish=wish, chosen=chosen, total=total)
        return run.carry_out()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Run:
    settings: Settings
    engine: Engine
    wish: Wish
    chosen: Sequence[PartyId] | None
    total: int

    def carry_out(self) -> int:
        findings = Findings(limit=self.wish.limit, dry_run=self.wish.dry_run)
        self._audit(REQUESTED, "done", None)
        failed, interrupted = self._march(findings)
        document = rebuild_document(findings, failed, interrupted=interrupted)
        whole = not failed and not interrupted and not findings.kept
        counted = ("parties", "events_read", "events_restated", "rows", "grants", "interrupted")
        self._audit(
            ENDED, "done" if whole else "failed", {name: document[name] for name in counted}
        )
        if self.wish.as_json:
            emit_json(document)
        else:
            print_rebuild(findings, failed, interrupted=interrupted)
        return 0 if whole else 1

    def _march(self, findings: Findings) -> tuple[dict[str, str], bool]:
        rebuilder, pause = self._rebuilder(), Interruption().pause
        failed: dict[str, str] = {}
        if self.wish.from_events and self.chosen is None:
            # First what states nothing yet, so that nobody's rows are computed without it.
            events = March[EventId](
                do=lambda ids: findings.take(rebuilder.events(ids)), pause=pause, again=AGAIN
            )
            events.run(filter(None, walk.silent(self.engine)), lambda _: None)
            failed.update(events.failed)
            if events.interrupted:
                return failed, True
        step = rebuilder.from_events if self.wish.from_events else rebuilder.from_facts
        parties = March[PartyId](
            do=lambda some: findings.take(step(some)), pause=pause, again=AGAIN
        )
        with progress("computing again", self.total) as moved:
            parties.run(self._pages(), moved)
        return {**failed, **parties.failed}, parties.interrupted

    def _rebuilder(self) -> Rebuilder:
        settings = self.settings
        scope = Scope(livemode=settings.effective_livemode(), accounts=settings.connect_accounts)
        return Rebuilder(
            engine=self.engine,
            catalogues=Catalogues(),
            scope=scope,
            actor=self.wish.actor,
            reason=self.wish.reason,
            dry_run=self.wish.dry_run,
        )

    def _pages(self) -> Iterable[Sequence[PartyId]]:
        if self.chosen is None:
            return walk.walk(self.engine, walk.named, size=CHUNK)
        return _chunks(self.chosen)

    def _audit(self, action: str, outcome: str, after: Any) -> None:
        if self.wish.dry_run:
            return
        Audited(
            engine=self.engine,
            actor=self.wish.actor,
            reason=self.wish.reason,
            targets=[("user", user) for user in self.wish.users] or [EVERYTHING],
        ).note(action, outcome, after)


def _parties_of(connection: Connection, users: Sequence[str]) -> list[PartyId]:
    found: set[str] = set()
    for user in users:
        parties = parties_of_user(connection, user)
        if not parties:
            raise NotDone(
                f"no row names {user}: nothing was done; `paidup rebuild --all` looks at"
                " everything that is kept"
            )
        found |= parties
    return [PartyId(party) for party in sorted(found)]


def _chunks(parties: Sequence[PartyId]) -> Iterator[Sequence[PartyId]]:
    for start in range(0, len(parties), CHUNK):
        yield parties[start : start + CHUNK]
