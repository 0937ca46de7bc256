"""Settled events as lines that a file can keep: everything it takes to settle them elsewhere."""

import json
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Final

from sqlalchemy import Connection, func, select

from models.tables import StripeEvent
from ops.errors import NotDone
from ops.queries.events import Filter, conditions
from ops.terminal.output import plain
from ops.terminal.progress import Moved

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
    StripeEvent.fetched,
)


def count(connection: Connection, wanted: Filter) -> int:
    """How many there are."""
    query = select(func.count()).select_from(StripeEvent).where(*conditions(wanted))
    return connection.scalar(query) or 0


def lines(connection: Connection, wanted: Filter) -> Iterator[bytes]:
    """One line of JSON for each, in the order in which they were settled; few are in memory."""
    query = select(*_COLUMNS).where(*conditions(wanted)).order_by(StripeEvent.settlement)
    found = connection.execute(query, execution_options={"yield_per": _READ_AT_ONCE})
    for row in found.mappings():
        yield _line(dict(row))


def _line(row: dict[str, Any]) -> bytes:
    # ASCII, since there are characters at which some readers end a line and others do not.
    written = {name: plain(value) for name, value in row.items()}
    return json.dumps(written, separators=(",", ":")).encode() + b"\n"


@contextmanager
def opened(path: Path | None) -> Iterator[BinaryIO]:
    """Standard output, or a file that takes its name once everything is in it.

    What events say is about people, so nobody else may read the file.

    Raises:
        NotDone: the file is there already, or cannot be written.
    """
    if path is None:
        yield sys.stdout.buffer
        return
    if path.exists():
        raise NotDone(f"{path} is there already: name another file, or move it away")
    part = path.with_name(f"{path.name}.part")
    try:
        with os.fdopen(os.open(part, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600), "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        part.rename(path)
    except OSError as error:
        raise NotDone(f"{path}: {error.strerror}; nothing was exported") from error
    finally:
        part.unlink(missing_ok=True)


def pour(lines: Iterable[bytes], file: BinaryIO, moved: Moved) -> int:
    """Write every line; how many there were."""
    number = 0
    for number, line in enumerate(lines, start=1):
        file.write(line)
        moved(number)
    file.flush()
    return number
