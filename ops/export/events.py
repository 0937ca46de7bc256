"""Write settled events as JSON lines that another database can import."""

import json
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final

from sqlalchemy import Connection, func, select

from billing.fetching.observations import observations_to_json
from models.tables import StripeEvent
from ops.errors import CommandFailed
from ops.queries.events import EventFilter, Parties, conditions
from ops.terminal.output import to_json
from ops.terminal.progress import ReportProgress
from runtime.ledger.observed import load_observations

_READ_AT_ONCE: Final = 200
_COLUMNS: Final = (
    StripeEvent.id,
    StripeEvent.type,
    StripeEvent.api_version,
    StripeEvent.account,
    StripeEvent.livemode,
    StripeEvent.created_at,
    StripeEvent.received_at,
    StripeEvent.applied_at,
    StripeEvent.outcome,
    StripeEvent.reason,
    StripeEvent.attempts,
    StripeEvent.origin,
    StripeEvent.payload,
    StripeEvent.payload_sha256,
)


def count_events(connection: Connection, wanted: EventFilter, parties: Parties) -> int:
    """Return the number of events that match."""
    query = select(func.count()).select_from(StripeEvent).where(*conditions(wanted, parties))
    return connection.scalar(query) or 0


def export_lines(connection: Connection, wanted: EventFilter, parties: Parties) -> Iterator[bytes]:
    """Yield one line of JSON for each event, in the order they were settled."""
    query = select(*_COLUMNS).where(*conditions(wanted, parties)).order_by(StripeEvent.settlement)
    found = connection.execute(query, execution_options={"yield_per": _READ_AT_ONCE})
    for rows in found.mappings().partitions():
        observed = load_observations(connection, [row["id"] for row in rows])
        for row in rows:
            seen = observed.get(row["id"])
            line = {**row, "api_observations": None if seen is None else observations_to_json(seen)}
            # ASCII only: some readers end a line at characters such as U+2028, others do not.
            yield json.dumps(to_json(line), separators=(",", ":")).encode() + b"\n"


@contextmanager
def open_output(path: Path | None) -> Iterator[BinaryIO]:
    """Open standard output, or a new file that gets its name once it is complete.

    Events hold personal data, so only the owner may read the file.

    Raises:
        CommandFailed: the file exists already, or cannot be written.
    """
    if path is None:
        yield sys.stdout.buffer
        return
    if path.exists():
        raise CommandFailed(f"{path} exists already: name another file, or move it away")
    part = path.with_name(f"{path.name}.part")
    try:
        with os.fdopen(os.open(part, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600), "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        part.rename(path)
    except OSError as error:
        raise CommandFailed(f"{path}: {error.strerror}; nothing was exported") from error
    finally:
        part.unlink(missing_ok=True)


def write_lines(lines: Iterable[bytes], file: BinaryIO, report: ReportProgress) -> int:
    """Write every line and return how many there were."""
    number = 0
    for number, line in enumerate(lines, start=1):
        file.write(line)
        report(number)
    file.flush()
    return number
