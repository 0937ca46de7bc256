"""Between Python values and what Redis keeps of them.

Scripts read two things of a header without parsing it, in every version there will ever be: it
starts with ``{"v":N,"fp":"..."``. A done marker starts with ``{"fp":"..."``.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import islice
from typing import Any, Final

from billing.envelope import Envelope
from runtime import json_text as documents
from runtime.inbox.entries import VERSION, Backlog, Breaker, Entry, Finished, Glimpse, Lane

_LONGEST_ERROR: Final = 4000
_FIELDS: Final = 6


def header(envelope: Envelope, *, origin: str, extra: Mapping[str, Any]) -> str:
    """What is told about an event beside its body; lane and time are where it stands in Redis."""
    return documents.written(
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


def marker(finished: Finished) -> str:
    """What duplicates of a settled event are answered from."""
    return documents.written({"fp": finished.fingerprint, **finished.result})


def result_in(marker: bytes) -> Mapping[str, Any] | None:
    """The cached result in a done marker; None where there is no marker."""
    if not marker:
        return None
    result: dict[str, Any] = documents.read(marker)
    result.pop("fp", None)
    return result


def error_text(error: str) -> str:
    """An error as Lua can keep it: bounded, and without lone surrogates."""
    return error[:_LONGEST_ERROR].encode("utf-8", "replace").decode("utf-8")


def entries(answer: Sequence[bytes]) -> Iterator[Entry]:
    """The events in a claim's answer."""
    values = iter(answer)
    while row := list(islice(values, _FIELDS)):
        yield _entry(row)


def _entry(row: Sequence[bytes]) -> Entry:
    key, lane, received, header_text, body, history_text = row
    meta, history = _document(header_text), _document(history_text)
    return Entry(
        key=key.decode(),
        body=body,
        received_at=moment(received),
        lane=Lane(lane.decode()),
        origin=meta.get("origin", "stripe"),
        attempts=int(history.get("attempts", 0)),
        crashes=int(history.get("crashes", 0)),
        first_failed_at=_moment_or_none(history.get("first_failed_at")),
        last_failed_at=_moment_or_none(history.get("last_failed_at")),
        last_error=history.get("last_error"),
        version=meta.get("v", VERSION),
        extra=meta.get("extra", {}),
    )


def glimpse(key: str, row: Sequence[bytes]) -> Glimpse:
    """One event as ``peek`` found it."""
    state, lane, received, due, meta, body, history = row
    return Glimpse(
        key=key,
        state=state.decode(),  # type: ignore[arg-type]  # the script knows these four words
        lane=Lane(lane.decode()),
        received_at=_moment_or_none(received),
        due_at=_moment_or_none(due),
        header=_document(meta),
        history=_document(history),
        body=body,
    )


def backlog(answer: Sequence[Any]) -> Backlog:
    """The numbers of ``backlog.lua``."""
    now, events, oldest, claimed, parked, replay, fetch, due, *rest = answer
    drainers, processes, unknown, conflicts, settlement, reason, left, workers, *rest = rest
    claimed_fetch, parked_fetch, fetch_reason, fetch_left, *counters = rest
    fetch_due = max(fetch - claimed_fetch - parked_fetch, 0)
    return Backlog(
        at=moment(now),
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
        settlement=settlement,
        breaker=_breaker(now, reason, left),
        fetch_due=fetch_due,
        fetch_breaker=_breaker(now, fetch_reason, fetch_left),
        counters=dict(
            zip((name.decode() for name in counters[::2]), map(int, counters[1::2]), strict=True)
        ),
    )


def _breaker(now: int, reason: bytes, left: int) -> Breaker | None:
    return Breaker(reason=reason.decode(), until=moment(now + left)) if left > 0 else None


def last_error_in(history: bytes) -> str:
    """Why an event failed last, as its history has it."""
    return str(_document(history).get("last_error", ""))


def moment(milliseconds: bytes | float) -> datetime:
    """A time of Redis as an aware datetime."""
    return datetime.fromtimestamp(float(milliseconds) / 1000, UTC)


def _moment_or_none(milliseconds: bytes | float | None) -> datetime | None:
    return moment(milliseconds) if milliseconds else None


def _document(text: bytes) -> dict[str, Any]:
    if not text:
        return {}
    # A strange hand may have been at it; the body beside it is what counts.
    try:
        document = documents.read(text)
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}


def _age(now: int, since: bytes) -> float:
    return max(now - float(since), 0.0) / 1000 if since else 0.0
