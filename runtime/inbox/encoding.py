"""Convert between Python values and the text that Redis stores.

Scripts read two things without parsing JSON, in every version of the format: a header starts with
``{"v":N,"fp":"..."``, and a done marker starts with ``{"fp":"...","epoch":"..."``.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from itertools import islice
from typing import Any, Final

from billing.envelope import Envelope
from runtime import json_text
from runtime.inbox.entries import (
    VERSION,
    Backlog,
    Breaker,
    Finished,
    InboxEntry,
    Lane,
    LostAccepts,
    PeekedEvent,
)
from runtime.inbox.service_times import read_times

_LONGEST_ERROR: Final = 4000
_FIELDS: Final = 6


def write_header(envelope: Envelope, *, origin: str, extra: Mapping[str, Any]) -> str:
    """Return the header stored beside the body; lane and time follow from the place in Redis."""
    return json_text.write_json(
        {
            "v": VERSION,
            "fp": envelope.fingerprint,
            "id": envelope.event_id,
            "type": envelope.type,
            "account": envelope.account,
            "livemode": envelope.livemode,
            "object": envelope.object_id,
            "partition": envelope.partition,
            "origin": origin,
            "extra": dict(extra),
        }
    )


def write_marker(finished: Finished) -> str:
    """Return the done marker from which duplicates of a settled event are answered."""
    return json_text.write_json(
        {"fp": finished.fingerprint, "epoch": finished.database_epoch, **finished.result}
    )


def read_result(marker: bytes) -> Mapping[str, Any] | None:
    """Return the cached result in a done marker, or None if there is no marker."""
    if not marker:
        return None
    result: dict[str, Any] = json_text.read_json(marker)
    result.pop("fp", None)
    result.pop("epoch", None)
    return result


def read_lost_accepts(inbox_epoch: str, record: bytes) -> LostAccepts:
    """Read the record of a loss, which ``lost_accepts.lua`` writes."""
    noticed, first, last, state = record.decode().split(" ")
    return LostAccepts(
        inbox_epoch=inbox_epoch,
        noticed_at=read_time(float(noticed)),
        first=int(first),
        last=int(last),
        open=state == "open",
    )


def error_text(error: str) -> str:
    """Return an error in a form that Lua can store: bounded, without lone surrogates."""
    return error[:_LONGEST_ERROR].encode("utf-8", "replace").decode("utf-8")


def read_entries(answer: Sequence[bytes]) -> Iterator[InboxEntry]:
    """Read the events from the answer to a claim."""
    values = iter(answer)
    while row := list(islice(values, _FIELDS)):
        yield _read_entry(row)


def _read_entry(row: Sequence[bytes]) -> InboxEntry:
    key, lane, received, header_text, body, history_text = row
    header, history = _read_object(header_text), _read_object(history_text)
    return InboxEntry(
        key=key.decode(),
        body=body,
        received_at=read_time(received),
        lane=Lane(lane.decode()),
        origin=header.get("origin", "stripe"),
        attempts=int(history.get("attempts", 0)),
        crashes=int(history.get("crashes", 0)),
        first_failed_at=_read_optional_time(history.get("first_failed_at")),
        last_failed_at=_read_optional_time(history.get("last_failed_at")),
        last_error=history.get("last_error"),
        version=header.get("v", VERSION),
        extra=header.get("extra", {}),
    )


def read_peeked_event(key: str, row: Sequence[bytes]) -> PeekedEvent:
    """Read one event from the answer of ``peek.lua``."""
    state, lane, received, due, header, body, history = row
    return PeekedEvent(
        key=key,
        state=state.decode(),  # type: ignore[arg-type]  # the script knows these four words
        lane=Lane(lane.decode()),
        received_at=_read_optional_time(received),
        due_at=_read_optional_time(due),
        header=_read_object(header),
        history=_read_object(history),
        body=body,
    )


def read_backlog(answer: Sequence[Any]) -> Backlog:
    """Read the answer of ``backlog.lua``."""
    now, events, oldest, claimed, parked, replay, fetch, due, *rest = answer
    drainers, processes, unknown, conflicts, reason, left, workers, *rest = rest
    claimed_fetch, parked_fetch, fetch_reason, fetch_left, *rest = rest
    noted_at, noted, arrived, settled_at, times, *counters = rest
    fetch_due = max(fetch - claimed_fetch - parked_fetch, 0)
    return Backlog(
        at=read_time(now),
        events=events,
        oldest_seconds=_age(now, oldest),
        due=max(events - claimed - parked - fetch_due, 0),
        waiting_seconds=_age(now, due),
        parked=parked,
        claimed=claimed,
        by_lane={Lane.LIVE: events - replay - fetch, Lane.REPLAY: replay, Lane.FETCH: fetch},
        drainers=drainers,
        workers=workers,
        processes=processes,
        unknown_version=unknown,
        conflicts=conflicts,
        breaker=_read_timed_breaker(now, reason, left),
        fetch_due=fetch_due,
        fetch_breaker=_read_breaker(now, fetch_reason, fetch_left),
        arriving=max(arrived - noted, 0) * 1000 / (now - noted_at) if noted_at else None,
        settled_at=_read_optional_time(settled_at),
        batch_times=read_times(times),
        counters=dict(
            zip((name.decode() for name in counters[::2]), map(int, counters[1::2]), strict=True)
        ),
    )


def _read_breaker(now: int, reason: bytes, left: int) -> Breaker | None:
    return Breaker(reason=reason.decode(), until=read_time(now + left)) if left > 0 else None


def _read_timed_breaker(now: int, value: bytes, left: int) -> Breaker | None:
    """Read the breaker of PostgreSQL, whose value begins with the time since when it is open."""
    since, _, reason = value.partition(b" ")
    breaker = _read_breaker(now, reason, left)
    return replace(breaker, since=read_time(since)) if breaker else None


def read_last_error(history: bytes) -> str:
    """Return the last error in an event's history; empty if there is none."""
    return str(_read_object(history).get("last_error", ""))


def read_time(milliseconds: bytes | float) -> datetime:
    """Convert a time of Redis to an aware datetime."""
    return datetime.fromtimestamp(float(milliseconds) / 1000, UTC)


def _read_optional_time(milliseconds: bytes | float | None) -> datetime | None:
    return read_time(milliseconds) if milliseconds else None


def _read_object(text: bytes) -> dict[str, Any]:
    if not text:
        return {}
    # Another program may have damaged it. Only the body beside it is needed.
    try:
        document = json_text.read_json(text)
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}


def _age(now: int, since: bytes) -> float:
    return max(now - float(since), 0.0) / 1000 if since else 0.0
