"""Read a file that ``paidup events export`` wrote, line by line.

A file is imported whole or not at all: every line is checked before the first event is requeued,
and an invalid line is named by its number.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256
from typing import Any, BinaryIO, Final

from billing.envelope import Envelope
from billing.errors import MalformedEvent
from billing.fetching.observations import observations_from_json
from ops.bulk.targets import Target
from ops.errors import CommandFailed
from ops.export.observations import is_observation_line, read_observation_line
from ops.terminal.standard_input import STDIN, open_input
from runtime.event_body import parse
from runtime.ledger.deliveries import DISCARDED
from runtime.ledger.observe import ObservedObject, ObserveOrigin

LONGEST_LINE: Final = 64 * 1024 * 1024
"""More than the largest event takes, with all fetched objects and JSON escapes."""

_INVALID: Final = (
    MalformedEvent,
    ValueError,
    KeyError,
    TypeError,
    AttributeError,
    RecursionError,
)


class FileChanged(CommandFailed):
    """The file is not what it was when its lines were checked."""

    def __init__(self, what: str) -> None:
        super().__init__(f"{what}; the file changed after it was checked")


class _InvalidLine(Exception):
    """A line is neither an exported event nor an observation."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportedEvent(Target):
    """One event from another database."""

    envelope: Envelope = field(repr=False)
    received_at: datetime
    api_observations: list[Any] | None
    """What Stripe's API showed for it, as JSON values; None if the API was not asked."""
    discarded: bool
    """True if an operator of the source database discarded the event."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportedObservation:
    """An object that Stripe's API showed for no event; ``origin`` is what had it asked."""

    observed: ObservedObject
    origin: ObserveOrigin


ImportedLine = ImportedEvent | ImportedObservation


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportFile:
    """A file whose lines have all been checked."""

    name: str
    file: BinaryIO
    events: int
    observations: int
    digest: str

    def __iter__(self) -> Iterator[ImportedEvent]:
        """Yield every event, one line at a time.

        Raises:
            FileChanged: a line cannot be read any more.
        """
        return (each for each in self._lines() if isinstance(each, ImportedEvent))

    def observed(self) -> Iterator[ImportedObservation]:
        """Yield every observation that no event asked for, one line at a time.

        Raises:
            FileChanged: a line cannot be read any more.
        """
        return (each for each in self._lines() if isinstance(each, ImportedObservation))

    def _lines(self) -> Iterator[ImportedLine]:
        try:
            for _, each in _read_lines(self.name, self.file):
                yield each
        except _InvalidLine as error:
            raise FileChanged(str(error)) from error
        except OSError as error:
            raise FileChanged(f"{self.name}: {error.strerror or error}") from error

    @property
    def described(self) -> dict[str, str]:
        """The name of the file and its digest."""
        return {"file": self.name, "sha256": self.digest}


@contextmanager
def open_import(name: str) -> Iterator[ImportFile]:
    """Open a file of events, or standard input, which is spooled to disk.

    Raises:
        CommandFailed: the file cannot be read, or a line is not an exported event.
    """
    with ExitStack() as opened:
        try:
            file = opened.enter_context(open_input(name))
            checked = _check_all_lines("standard input" if name == STDIN else name, file)
        except OSError as error:
            said = error.strerror or error
            raise CommandFailed(f"{name}: {said}; nothing was imported") from error
        except _InvalidLine as error:
            raise CommandFailed(f"{error}; nothing was imported") from error
        yield checked


def _check_all_lines(name: str, file: BinaryIO) -> ImportFile:
    digest, events, observations = sha256(), 0, 0
    for line, read in _read_lines(name, file):
        digest.update(line)
        events += isinstance(read, ImportedEvent)
        observations += isinstance(read, ImportedObservation)
    if not events + observations:
        raise CommandFailed(f"{name} holds no event: nothing was imported")
    return ImportFile(
        name=name,
        file=file,
        events=events,
        observations=observations,
        digest=digest.hexdigest(),
    )


def _read_lines(name: str, file: BinaryIO) -> Iterator[tuple[bytes, ImportedLine]]:
    """Yield every line with its event or observation."""
    file.seek(0)
    number = 0
    while line := file.readline(LONGEST_LINE):
        number += 1
        try:
            read = _read_line(line)
        except _INVALID as error:
            why = f"{error} is missing" if isinstance(error, KeyError) else str(error)
            raise _InvalidLine(
                f"{name}, line {number}: it is not a line that `paidup events export` writes"
                f" ({why})"
            ) from error
        yield line, read


def _read_line(line: bytes) -> ImportedLine:
    if not line.endswith(b"\n"):
        raise ValueError("it has no line end: the file is truncated")
    document: Mapping[str, Any] = json.loads(line)
    if is_observation_line(document):
        observed, origin = read_observation_line(document)
        return ImportedObservation(observed=observed, origin=origin)
    return _read_event(document)


def _read_event(document: Mapping[str, Any]) -> ImportedEvent:
    body = document["payload"].encode()
    if sha256(body).hexdigest() != document["payload_sha256"]:
        raise ValueError("the payload does not match payload_sha256")
    envelope = parse(body)
    if envelope.event_id != document["id"]:
        raise ValueError(f"the payload is that of {envelope.event_id}")
    return ImportedEvent(
        key=envelope.event_id,
        is_dead_letter=False,
        envelope=envelope,
        received_at=_parse_time(document["received_at"]),
        api_observations=_checked(document.get("api_observations")),
        discarded=(document["outcome"], document["reason"]) == ("ignored", DISCARDED),
    )


def _parse_time(text: str) -> datetime:
    at = datetime.fromisoformat(text)
    if at.tzinfo is None:
        raise ValueError(f"{text} has no time zone")
    return at


def _checked(documents: list[Any] | None) -> list[Any] | None:
    if documents is not None:
        observations_from_json(documents)
    return documents
