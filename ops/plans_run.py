"""What ``paidup plans diff`` does."""

from pathlib import Path

from sqlalchemy import Engine

from ops import connections as doors
from ops.output import emit_json
from ops.plans.diff import PlansDiff
from ops.plans.render import diff_document, print_diff
from ops.terminal.progress import progress
from runtime.ledger import catalogues
from runtime.ledger.maintenance import scan as walk
from runtime.plans_file import read_plans
from runtime.settings import Settings


def diff(settings: Settings, file: Path | None, *, limit: int, as_json: bool) -> int:
    """Say what the document would change; the exit code."""
    path = file or settings.plans_path
    plans = read_plans(path)
    with doors.database(settings, asker="plans diff") as engine:
        with doors.snapshot(engine) as connection:
            record = catalogues.current(connection)
            same = not catalogues.differs(connection, plans)
            total = walk.count_projected(connection)
        found = PlansDiff(catalogue=record.succeeded_by(plans), limit=limit)
        _look(engine, found, total)
        with doors.snapshot(engine) as connection:
            shown = list(found.shown(connection))
    tell = (path, record.version, found, shown)
    if as_json:
        emit_json(diff_document(*tell, same=same))
    else:
        print_diff(*tell, same=same)
    return 0


def _look(engine: Engine, found: PlansDiff, total: int) -> None:
    with progress("looking ahead", total) as moved:
        for parties in walk.walk(engine, walk.projected):
            found.look(engine, parties)
            moved(found.parties)
