"""``paidup plans apply``: the version of record switches at once, then everybody's rows follow.

The switch is one transaction that no projection overlaps: what commits before it went by the old
plans, what begins after it goes by the new ones, whatever files its process has seen. Rows that
follow an older version are projected again; each party's version says which are left, so a run
that was broken off anywhere is gone on with by another one.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import click
from sqlalchemy import Engine, select

from billing.catalogue import Catalogue
from billing.ids import PartyId
from models.tables import StoredCatalogue
from ops import connections as doors
from ops.batches import March
from ops.terminal.interrupt import Interruption
from ops.terminal.operator_options import reason_given
from ops.terminal.output import emit_json, plain, say, visible
from ops.terminal.progress import progress
from runtime.failures.classify import Transient, classify
from runtime.ledger import catalogues
from runtime.ledger.catalogues import Switch
from runtime.ledger.maintenance import scan as walk
from runtime.ledger.maintenance.reproject import CHUNK
from runtime.ledger.record import Ledger
from runtime.plans_file import read_plans
from runtime.settings import Settings

SWITCHES: Final = 20
"""Tries to find a moment without a projection; a frozen one is ended by PostgreSQL within 20 s."""

REST_SECONDS: Final = 0.5
AGAIN: Final = "`paidup plans apply --resume`"
_TOLD: Final = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollout:
    """Who applies plans and why; ``file`` is None where it goes on with those of record."""

    settings: Settings
    engine: Engine
    actor: str
    reason: str | None
    as_json: bool
    file: Path | None

    def run(self) -> int:
        """Switch, unless these plans are of record already, and let everybody follow."""
        pause = Interruption().pause
        switch = self._switch(pause)
        march = self._march(pause, self._why(switch.version))
        with self.engine.connect() as connection:
            behind = walk.count_outdated(connection)
        if not self.as_json:
            say(_opening(self.file, switch, behind))
        with progress("projecting again", behind) as moved:
            march.run(walk.walk(self.engine, walk.outdated, size=CHUNK), moved)
        return self._tell(switch, march)

    def _switch(self, pause: Callable[[float], None]) -> Switch:
        if self.file is None:
            with self.engine.connect() as connection:
                return Switch(version=catalogues.current(connection).version, made=False)
        plans = read_plans(self.file)
        for _ in range(SWITCHES - 1):
            try:
                return self._switched(plans)
            except Exception as error:
                if not isinstance(classify(error), Transient):
                    raise
                pause(REST_SECONDS)
        return self._switched(plans)

    def _switched(self, plans: Catalogue) -> Switch:
        reason = reason_given(self.reason)
        return catalogues.switch(self.engine, plans, actor=self.actor, reason=reason)

    def _why(self, version: int) -> str:
        """The reason now, else the one the plans of record were applied for."""
        if self.reason:
            return self.reason
        query = select(StoredCatalogue.reason).where(StoredCatalogue.version == version)
        with self.engine.connect() as connection:
            return connection.scalar(query) or f"plans of record are version {version}"

    def _march(self, pause: Callable[[float], None], why: str) -> March[PartyId]:
        livemode, accounts = self.settings.effective_livemode(), self.settings.connect_accounts
        ledger = Ledger(self.engine, livemode=livemode, accounts=accounts)

        def project(parties: Sequence[PartyId]) -> None:
            ledger.reproject(parties, actor=self.actor, reason=why)

        return March[PartyId](do=project, pause=pause, again=AGAIN)

    def _tell(self, switch: Switch, march: March[PartyId]) -> int:
        with self.engine.connect() as connection:
            behind = walk.count_outdated(connection)
        if self.as_json:
            emit_json(
                {
                    "file": None if self.file is None else str(self.file),
                    "catalogue_version": switch.version,
                    "applied": switch.made,
                    "projected": march.done,
                    "behind": behind,
                    "interrupted": march.interrupted,
                    "failed": plain(march.failed),
                }
            )
        else:
            _print(switch, march, behind)
        return 1 if behind or march.interrupted else 0


def apply(  # the command's own options
    settings: Settings, file: Path | None, *, actor: str, reason: str | None, as_json: bool
) -> int:
    """Apply a document, or go on with the plans of record; the exit code."""
    if file is not None:
        reason_given(reason)
        read_plans(file)
    with doors.database(settings, asker="plans apply") as engine:
        with doors.snapshot(engine):
            pass
        rollout = Rollout(
            settings=settings,
            engine=engine,
            actor=actor,
            reason=reason,
            as_json=as_json,
            file=file,
        )
        return rollout.run()


def _opening(file: Path | None, switch: Switch, behind: int) -> str:
    if file is None:
        return f"plans of record: version {switch.version}; {behind} parties follow older ones"
    if switch.made:
        return f"{file} is the catalogue of record now (version {switch.version})"
    left = f"; {behind} parties follow older ones" if behind else ""
    return f"{file} is the catalogue of record already (version {switch.version}){left}"


def _print(switch: Switch, march: March[PartyId], behind: int) -> None:
    for party, why in list(march.failed.items())[:_TOLD]:
        click.echo(f"{visible(party)}: {visible(why)}", err=True)
    if march.interrupted:
        say(f"interrupted: {march.done} parties projected again; {AGAIN} does what is left")
    elif behind:
        say(
            f"{march.done} parties projected again; {behind} still follow older plans:"
            f" {AGAIN} tries them again"
        )
    elif march.done:
        say(f"{march.done} parties projected again: all follow version {switch.version}")
    else:
        say(f"all follow version {switch.version}: nothing was left to do")
