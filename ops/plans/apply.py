"""Run ``paidup plans apply``: switch the catalogue of record, then recompute every user's rows.

The switch is one transaction that no projection overlaps: a projection that commits before it
uses the old plans, one that starts after it uses the new ones, in every process. Rows of an older
version are then recomputed. Each party records its version, so another run can continue an
interrupted one.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import click
from sqlalchemy import Engine, select

from billing.catalogue import Catalogue
from billing.ids import PartyId
from models.tables import StoredCatalogue
from ops.batches import RETRY_DELAY_SECONDS, BatchRunner
from ops.errors import CommandFailed
from ops.plans.purchases import find_revived
from ops.terminal.command_name import with_command_name
from ops.terminal.formats import format_count
from ops.terminal.interrupt import Interruption
from ops.terminal.operator_options import require_reason
from ops.terminal.output import print_json, print_text, printable, to_json
from ops.terminal.progress import progress
from runtime.database.deadline import reading_at_length
from runtime.failures.classify import Transient, classify
from runtime.ledger import catalogues
from runtime.ledger.catalogues import CatalogueCache, Switch
from runtime.ledger.maintenance import scan
from runtime.ledger.maintenance.archive_updates import count_updates
from runtime.ledger.maintenance.reproject import CHUNK, reproject
from runtime.plans_file import read_plans

MAX_SWITCH_ATTEMPTS: Final = 20
"""Attempts to find a moment without a projection; PostgreSQL ends a frozen one within 20 s."""

RETRY_COMMAND: Final = "`paidup plans apply --resume`"
_MAX_FAILURES: Final = 10
_parties = partial(format_count, noun="party", plural="parties")


@dataclass(frozen=True, slots=True, kw_only=True)
class PlansRollout:
    """One run for an operator; ``file`` is None to continue with the catalogue of record."""

    engine: Engine
    actor: str
    reason: str | None
    as_json: bool
    file: Path | None
    price_keys: Mapping[str, str]
    """The lookup keys that prices bear at Stripe now, by price id."""
    revive: bool
    """Apply the plans even if a purchase that had ended begins again."""

    def run(self) -> int:
        """Switch to the plans unless they are of record already, then recompute all rows."""
        pause = Interruption().pause
        switch = self._switch(pause)
        why = self.reason or self._reason_of(switch.version)
        cache = CatalogueCache()

        def project(parties: Sequence[PartyId]) -> None:
            reproject(self.engine, cache, parties, actor=self.actor, reason=why)

        runner = BatchRunner[PartyId](do=project, pause=pause, retry_command=RETRY_COMMAND)
        outdated = self._count_outdated()
        if not self.as_json:
            print_text(_opening(self.file, switch, outdated))
        with progress("recomputing", outdated) as report:
            runner.run(scan.pages(self.engine, scan.outdated_parties, size=CHUNK), report)
        return self._report(switch, runner)

    def _switch(self, pause: Callable[[float], None]) -> Switch:
        if self.file is None:
            with self.engine.connect() as connection:
                return Switch(version=catalogues.current_catalogue(connection).version, made=False)
        plans = read_plans(self.file).with_price_keys(self.price_keys)
        reason = require_reason(self.reason)
        if not self.revive:
            self._refuse_revived(plans)
        attempts = 0
        while True:
            attempts += 1
            try:
                return catalogues.switch(self.engine, plans, actor=self.actor, reason=reason)
            except Exception as error:
                if attempts == MAX_SWITCH_ATTEMPTS or not isinstance(classify(error), Transient):
                    raise
            pause(RETRY_DELAY_SECONDS)

    def _refuse_revived(self, plans: Catalogue) -> None:
        """Raise if a purchase that had ended would begin again."""
        with self.engine.connect() as connection:
            if catalogues.newest_version(connection) is None:
                return
            if not catalogues.differs(connection, plans):
                return
            record = catalogues.current_catalogue(connection)
        revived = list(find_revived(self.engine, record.succeeded_by(plans)))
        if revived:
            named = ", ".join(
                f"{each.purchase_ref} of {each.user_id}" for each in revived[:_MAX_FAILURES]
            )
            more = len(revived) - _MAX_FAILURES
            listed = f"{named} and {more} more" if more > 0 else named
            raise CommandFailed(
                f"{format_count(len(revived), 'purchase')} that had ended would begin again:"
                f" {printable(listed)}; `plans diff` shows them; give --revive to apply the plans"
                " all the same; nothing was changed"
            )

    def _reason_of(self, version: int) -> str:
        query = select(StoredCatalogue.reason).where(StoredCatalogue.version == version)
        with self.engine.connect() as connection:
            return connection.scalar(query) or f"plans of record are version {version}"

    def _count_outdated(self) -> int:
        with self.engine.connect() as connection, reading_at_length(connection):
            return scan.count_outdated(connection)

    def _report(self, switch: Switch, runner: BatchRunner[PartyId]) -> int:
        outdated = self._count_outdated()
        with self.engine.connect() as connection:
            updating, _ = count_updates(connection)
        if self.as_json:
            print_json(
                {
                    "file": None if self.file is None else str(self.file),
                    "catalogue_version": switch.version,
                    "applied": switch.made,
                    "projected": runner.done,
                    "outdated_parties": outdated,
                    "updating_parties": updating,
                    "interrupted": runner.interrupted,
                    "failed": to_json(runner.failed),
                }
            )
        else:
            _print(switch, runner, outdated)
            if updating:
                says = f"old payments of {_parties(updating)} follow in steps, by a worker"
                print_text(with_command_name(f"{says}: `paidup status` says how much is left"))
        return 1 if outdated or runner.interrupted else 0


def _opening(file: Path | None, switch: Switch, outdated: int) -> str:
    if file is None:
        return f"plans of record: version {switch.version}; {_parties(outdated)} use older ones"
    if switch.made:
        return f"{file} is now the catalogue of record (version {switch.version})"
    left = f"; {_parties(outdated)} use older ones" if outdated else ""
    return f"{file} is already the catalogue of record (version {switch.version}){left}"


def _print(switch: Switch, runner: BatchRunner[PartyId], outdated: int) -> None:
    retry = with_command_name(RETRY_COMMAND)
    for party, why in list(runner.failed.items())[:_MAX_FAILURES]:
        click.echo(f"{printable(party)}: {printable(why)}", err=True)
    if runner.interrupted:
        print_text(f"interrupted: {_parties(runner.done)} recomputed; {retry} does the rest")
    elif outdated:
        print_text(
            f"{_parties(runner.done)} recomputed; {outdated} still use older plans:"
            f" {retry} retries them"
        )
    elif runner.done:
        print_text(f"{_parties(runner.done)} recomputed: all use version {switch.version}")
    else:
        print_text(f"all use version {switch.version}: nothing to do")
