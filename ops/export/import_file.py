"""Events in a file that ``paidup events export`` wrote, read line by line.

A file is used whole or not at all: every line is read and checked before the first event is let
in, and one that is not as it was written is named by its number.
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
from billing.fetching.record import Fetched
from ops.errors import NotDone
from runtime.event_body import parse
from runtime.ledger.deliveries import DISCARDED

STDIN: Final = "-"
LONGEST_LINE: Final = 64 * 1024 * 1024
"""More than the largest event with everything that was fetched for it, whatever the escapes."""


class BrokenLine(NotDone):
    """A line that is no event as it was exported."""

    def __init__(self, name: str, number: int, why: str) -> None:
        super().__init__(f"{name}, line {number}: {why}; nothing was let in")


@dataclass(frozen=True, slots=True, kw_only=True)
class Carried:
    """One event on its way from another database."""

    number: int
    envelope: Envelope = field(repr=False)
    received_at: datetime
    fetched: str | None
    """What Stripe's API had answered about it."""
    discarded: bool
    """An operator there decided that it is not to be applied."""

    @property
    def key(self) -> str:
        """Its name in the inbox."""
        return self.envelope.event_id


@dataclass(frozen=True, slots=True, kw_only=True)
class Cargo:
    """A file that was read to its end once."""

    name: str
    file: BinaryIO
    events: int
    digest: str

    def __iter__(self) -> Iterator[Carried]:
        """Every event, a line at a time."""
        self.file.seek(0)
        return (_carried(self.name, number, line) for number, line in _lines(self.name, self.file))


@contextmanager
def cargo(name: str) -> Iterator[Cargo]:
    """The events of a file, or of standard input, which is kept on disk meanwhile.

    Raises:
        NotDone: the file cannot be read, or one of its lines is not as it was exported.
    """
    try:
        with _opened(name) as file:
            yield _checked("standard input" if name == STDIN else name, file)
    except OSError as error:
        raise NotDone(f"{name}: {error.strerror or error}; nothing was let in") from error


def _opened(name: str) -> BinaryIO:
    if name != STDIN:
        return Path(name).open("rb")
    spooled: BinaryIO = tempfile.TemporaryFile()  # noqa: SIM115 - closed by whoever asked
    shutil.copyfileobj(sys.stdin.buffer, spooled)
    return spooled


def _checked(name: str, file: BinaryIO) -> Cargo:
    digest, events = sha256(), 0
    file.seek(0)
    for number, line in _lines(name, file):
        digest.update(line)
        _carried(name, number, line)
        events += 1
    if not events:
        raise NotDone(f"{name} holds no event: nothing was let in")
    return Cargo(name=name, file=file, events=events, digest=digest.hexdigest())


def _lines(name: str, file: BinaryIO) -> Iterator[tuple[int, bytes]]:
    number = 0
    while line := file.readline(LONGEST_LINE):
        number += 1
        if not line.endswith(b"\n"):
            raise BrokenLine(name, number, "it does not end, so the file was cut off")
        yield number, line


def _carried(name: str, number: int, line: bytes) -> Carried:
    try:
        return _read(number, line)
    except MalformedEvent as error:
        raise BrokenLine(name, number, str(error)) from error
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        why = f"it is not as `paidup events export` writes it ({_said(error)})"
        raise BrokenLine(name, number, why) from error


def _said(error: Exception) -> str:
    return f"{error} is missing" if isinstance(error, KeyError) else str(error)


def _read(number: int, line: bytes) -> Carried:
    document: Mapping[str, Any] = json.loads(line)
    body = document["payload"].encode()
    if sha256(body).hexdigest() != document["payload_sha256"]:
        raise ValueError("its payload is not the one that was exported")
    envelope = parse(body)
    if envelope.event_id != document["id"]:
        raise ValueError(f"its payload is that of {envelope.event_id}")
    return Carried(
        number=number,
        envelope=envelope,
        received_at=_moment(document["received_at"]),
        fetched=_fetched(document["fetched"]),
        discarded=(document["outcome"], document["reason"]) == ("ignored", DISCARDED),
    )


def _moment(text: str) -> datetime:
    at = datetime.fromisoformat(text)
    if at.tzinfo is None:
        raise ValueError(f"{text} has no zone")
    return at


def _fetched(value: object) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str):
        raise ValueError("fetched is no text")  # noqa: TRY004 - told as every other mistake is
    Fetched.from_text(value)
    return value
