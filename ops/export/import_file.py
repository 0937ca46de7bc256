"""Read a file that ``paidup events export`` wrote, line by line.

A file is imported whole or not at all: every line is checked before the first event is requeued,
and an invalid line is named by its number.
"""

import json
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import Any, BinaryIO, Final

from billing.envelope import Envelope
from billing.errors import MalformedEvent
from billing.fetching.record import FetchRecord
from ops.errors import CommandFailed
from runtime.event_body import parse
from runtime.ledger.deliveries import DISCARDED

STDIN: Final = "-"
LONGEST_LINE: Final = 64 * 1024 * 1024
"""More than the largest event takes, with all fetched objects and JSON escapes."""


class InvalidLine(CommandFailed):
    """A line that is not an exported event."""

    def __init__(self, name: str, number: int, why: str) -> None:
        super().__init__(f"{name}, line {number}: {why}; nothing was imported")


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportedEvent:
    """One event from another database."""

    number: int
    envelope: Envelope = field(repr=False)
    received_at: datetime
    fetched: str | None
    """The stored answers of Stripe's API, as JSON text."""
    discarded: bool
    """True if an operator of the source database discarded the event."""

    @property
    def key(self) -> str:
        """The key of the event in the inbox."""
        return self.envelope.event_id


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportFile:
    """A file whose lines have all been checked."""

    name: str
    file: BinaryIO
    events: int
    digest: str

    def __iter__(self) -> Iterator[ImportedEvent]:
        """Yield every event, one line at a time."""
        self.file.seek(0)
        return (
            _parse_line(self.name, number, line) for number, line in _lines(self.name, self.file)
        )


@contextmanager
def open_import(name: str) -> Iterator[ImportFile]:
    """Open a file of events, or standard input, which is spooled to disk.

    Raises:
        CommandFailed: the file cannot be read, or a line is not an exported event.
    """
    try:
        with _open(name) as file:
            yield _check_all_lines("standard input" if name == STDIN else name, file)
    except OSError as error:
        raise CommandFailed(f"{name}: {error.strerror or error}; nothing was imported") from error


def _open(name: str) -> BinaryIO:
    if name != STDIN:
        return Path(name).open("rb")
    spooled: BinaryIO = tempfile.TemporaryFile()  # noqa: SIM115 - the caller closes it
    shutil.copyfileobj(sys.stdin.buffer, spooled)
    return spooled


def _check_all_lines(name: str, file: BinaryIO) -> ImportFile:
    digest, events = sha256(), 0
    file.seek(0)
    for number, line in _lines(name, file):
        digest.update(line)
        _parse_line(name, number, line)
        events += 1
    if not events:
        raise CommandFailed(f"{name} holds no event: nothing was imported")
    return ImportFile(name=name, file=file, events=events, digest=digest.hexdigest())


def _lines(name: str, file: BinaryIO) -> Iterator[tuple[int, bytes]]:
    number = 0
    while line := file.readline(LONGEST_LINE):
        number += 1
        if not line.endswith(b"\n"):
            raise InvalidLine(name, number, "it has no line end: the file is truncated")
        yield number, line


def _parse_line(name: str, number: int, line: bytes) -> ImportedEvent:
    try:
        return _read_line(number, line)
    except MalformedEvent as error:
        raise InvalidLine(name, number, str(error)) from error
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        why = f"it is not a line that `paidup events export` writes ({_describe(error)})"
        raise InvalidLine(name, number, why) from error


def _describe(error: Exception) -> str:
    return f"{error} is missing" if isinstance(error, KeyError) else str(error)


def _read_line(number: int, line: bytes) -> ImportedEvent:
    document: Mapping[str, Any] = json.loads(line)
    body = document["payload"].encode()
    if sha256(body).hexdigest() != document["payload_sha256"]:
        raise ValueError("the payload does not match payload_sha256")
    envelope = parse(body)
    if envelope.event_id != document["id"]:
        raise ValueError(f"the payload is that of {envelope.event_id}")
    return ImportedEvent(
        number=number,
        envelope=envelope,
        received_at=_parse_time(document["received_at"]),
        fetched=_fetched(document["fetched"]),
        discarded=(document["outcome"], document["reason"]) == ("ignored", DISCARDED),
    )


def _parse_time(text: str) -> datetime:
    at = datetime.fromisoformat(text)
    if at.tzinfo is None:
        raise ValueError(f"{text} has no time zone")
    return at


def _fetched(value: object) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str):
        raise ValueError("fetched is not text")  # noqa: TRY004 - reported like every other mistake
    FetchRecord.from_text(value)
    return value
