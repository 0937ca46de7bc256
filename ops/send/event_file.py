"""Read events of one's own to send: one JSON object a line, or what `events export` wrote.

A file is sent whole or not at all: every line is read before the first event is sent, and each
line that is no event is named by its number.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from itertools import islice
from typing import Any, BinaryIO, Final

from billing.catalogue import Identity
from billing.envelope import Envelope
from billing.errors import BillingError, MalformedEvent
from billing.facts import metadata_value
from billing.readers.registry import read_event
from ops.errors import CommandFailed
from ops.samples.scenario import Event
from ops.send.traffic import mix
from ops.terminal.formats import format_count
from ops.terminal.standard_input import STDIN, open_input
from runtime.event_body import parse

USERS_SHOWN: Final = 5

_AT_ONCE: Final = 5000
"""Events among which `--shuffle` mixes."""

_MISTAKES_SHOWN: Final = 10
_LONGEST_EVENT: Final = 16 * 1024 * 1024
_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True, kw_only=True)
class EventFile:
    """A file whose lines are all events; ``users`` are the first that they name."""

    name: str
    file: BinaryIO
    count: int
    whole: bool
    """True if the file is one event over several lines, as Stripe's dashboard shows it."""
    users: Sequence[str]
    first_event: str
    shuffle: int | None
    duplicates: int

    @property
    def deliveries(self) -> int:
        """The number of requests."""
        return self.count * (1 + self.duplicates)

    def events(self) -> Iterator[Event]:
        """Yield every delivery, repetitions included, in the order of sending."""
        yield from mix(self._blocks(), shuffle=self.shuffle, duplicates=self.duplicates)

    def _blocks(self) -> Iterator[list[Event]]:
        events = (_event(envelope) for _, envelope in _read(self.file, whole=self.whole))
        while block := list(islice(events, _AT_ONCE)):
            yield block


@contextmanager
def open_events(name: str, *, shuffle: int | None, duplicates: int) -> Iterator[EventFile]:
    """Open a file of events, or standard input, and read it whole.

    Raises:
        CommandFailed: the file cannot be read, has no event, or has lines that are none.
        UsageError: standard input is a terminal.
    """
    shown = "standard input" if name == STDIN else name
    try:
        with open_input(name) as file:
            whole = _is_one_event(file)
            users, count, first = _examine(shown, file, whole=whole)
            yield EventFile(
                name=shown,
                file=file,
                count=count,
                whole=whole,
                users=users,
                first_event=first,
                shuffle=shuffle,
                duplicates=duplicates,
            )
    except OSError as error:
        raise CommandFailed(f"{name}: {error.strerror or error}; nothing was sent") from error


def _is_one_event(file: BinaryIO) -> bool:
    """Return whether the first line alone is no JSON, and the file as a whole is an event."""
    file.seek(0)
    first = file.readline(_LONGEST_EVENT)
    rest = file.read(_LONGEST_EVENT)
    if not rest.strip() or file.read(1):
        return False
    try:
        json.loads(first)
    except ValueError:
        return _parsed(first + rest) is not None
    return False


def _parsed(body: bytes) -> Envelope | None:
    try:
        return parse(body)
    except MalformedEvent:
        return None


def _examine(name: str, file: BinaryIO, *, whole: bool) -> tuple[Sequence[str], int, str]:
    """Return the first users that the events name, the number of events, and the first id."""
    mistakes: list[str] = []
    users: dict[str, None] = {}
    count, wrong, first = 0, 0, ""
    for number, found in _read(file, whole=whole):
        if isinstance(found, str):
            wrong += 1
            if len(mistakes) < _MISTAKES_SHOWN:
                mistakes.append(f"line {number}: {found}")
            continue
        count += 1
        first = first or found.event_id
        if len(users) < USERS_SHOWN:
            users |= dict.fromkeys(_users_named(found))
    if wrong:
        more = f"\n  and {wrong - len(mistakes)} more" if wrong > len(mistakes) else ""
        lines = format_count(wrong, "line is no event", "lines are no events")
        listed = "".join(f"\n  {mistake}" for mistake in mistakes)
        raise CommandFailed(f"{name}: {lines}, nothing was sent:{listed}{more}")
    if not count:
        raise CommandFailed(f"{name} has no event: write one JSON object a line")
    return list(users)[:USERS_SHOWN], count, first


def _read(file: BinaryIO, *, whole: bool) -> Iterator[tuple[int, Envelope | str]]:
    """Yield the number of each line and its event, or the reason why it is none."""
    file.seek(0)
    if whole:
        yield 1, parse(file.read())
        return
    number = 0
    while line := file.readline(_LONGEST_EVENT):
        number += 1
        if not number - 1:
            line = line.removeprefix(_BYTE_ORDER_MARK)
        if line.strip():
            yield number, _read_line(line.strip())


def _read_line(line: bytes) -> Envelope | str:
    try:
        document = json.loads(line)
    except (ValueError, RecursionError):
        return "it is not JSON"
    if isinstance(document, list):
        return "it is a list: write each event on a line of its own, with `jq -c '.[]'`"
    if not isinstance(document, dict):
        return "it is not a JSON object"
    if document.get("object") == "list":
        return "it is a list: write each event on a line of its own, with `jq -c '.data[]'`"
    try:
        return parse(_body(line, document))
    except (MalformedEvent, ValueError) as error:
        return str(error)


def _body(line: bytes, document: Mapping[str, Any]) -> bytes:
    """Return the bytes that are signed: the line, or the payload in a line of `events export`."""
    if not isinstance(document.get("payload"), str):
        return line
    body: bytes = document["payload"].encode()
    if document.get("payload_sha256") not in (None, sha256(body).hexdigest()):
        raise ValueError("its payload does not match payload_sha256")
    return body


def _event(found: Envelope | str) -> Event:
    if isinstance(found, str):
        raise CommandFailed(f"the file changed while it was sent: {found}")
    created = int(found.created_at.timestamp())
    return Event(id=found.event_id, type=found.type, created=created, body=found.body)


def _users_named(envelope: Envelope) -> list[str]:
    try:
        facts = read_event(envelope).facts
    except BillingError:
        return []
    return [user for fact in facts for user in _users_of(fact.fields)]


def _users_of(fields: object) -> Iterator[str]:
    """Yield the users whom an object names in the places that ``[identity]`` has by default."""
    for member in ("metadata", "subscription_metadata"):
        for key in Identity().metadata_keys:
            if user := metadata_value(getattr(fields, member, ()), key):
                yield user
    if user := getattr(fields, "client_reference_id", None):
        yield user
