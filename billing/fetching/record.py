"""What Stripe's API was asked about an event and what it answered, kept as one document.

The document is stored beside the payload. Whoever reads the event again reads it from there, so
a replay gives what the first reading gave, whatever Stripe would answer by then.

The time of an answer is Stripe's own: the ``Date`` of its response. An object is seen as it was
then and not as it was when its event was made, and only Stripe's clock can be compared with the
times of other events; ours may be wrong.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from billing.envelope import parsed_object

GONE = 404
VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """An object of Stripe's that has to be looked at.

    ``family`` is Stripe's name of what it is. ``later_than`` is the newest second that is known of
    it: an answer of that second could not be told apart from what is known.
    """

    family: str
    stripe_id: str
    later_than: datetime | None = None

    @property
    def name(self) -> tuple[str, str]:
        """What makes two of them the same object."""
        return (self.family, self.stripe_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One response: ``status`` is 200 or 404, ``at`` is its ``Date``."""

    request: str
    status: int
    at: datetime
    body: Mapping[str, Any] = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """Everything that was wanted for one event, and every answer that was needed for it.

    Nothing wanted and nothing answered says that the API had nothing to add.
    """

    wanted: tuple[Wanted, ...]
    answers: tuple[Answer, ...] = ()

    def to(self, request: str) -> Answer | None:
        """The answer to a request, if it was made."""
        return next((answer for answer in self.answers if answer.request == request), None)

    def with_answer(self, answer: Answer) -> "Fetched":
        """The same with one answer more."""
        return Fetched(wanted=self.wanted, answers=(*self.answers, answer))

    def as_text(self) -> str:
        """The document as it is stored; whatever was answered, it is ASCII."""
        document = {
            "v": VERSION,
            "wanted": [_wanted_written(each) for each in self.wanted],
            "answers": [_answer_written(answer) for answer in self.answers],
        }
        return json.dumps(document, separators=(",", ":"))

    @classmethod
    def from_text(cls, text: str) -> "Fetched":
        """The document that ``as_text`` wrote."""
        document = json.loads(text)
        return cls(
            wanted=tuple(wanted_read(each) for each in document["wanted"]),
            answers=tuple(_answer_read(each) for each in document["answers"]),
        )


def joined(first: tuple[Wanted, ...], second: tuple[Wanted, ...]) -> tuple[Wanted, ...]:
    """Every object of both once; of two wishes for one object the one that asks for more."""
    found: dict[tuple[str, str], Wanted] = {}
    for each in (*first, *second):
        known = found.get(each.name)
        if known is None or _moment(known) < _moment(each):
            found[each.name] = each
    return tuple(found.values())


def answer(request: str, status: int, at: datetime, body: str) -> Answer:
    """An answer whose body is read as an event's is: by one parser, within the same bounds.

    Raises:
        MalformedEvent: the body is no object that could be kept and read.
    """
    return Answer(request=request, status=status, at=at, body=parsed_object(body.encode()))


def wanted_as_text(wanted: tuple[Wanted, ...]) -> str:
    """What is still to be fetched, for a row that waits for it."""
    return json.dumps([_wanted_written(each) for each in wanted], separators=(",", ":"))


def wanted_from_text(text: str) -> tuple[Wanted, ...]:
    """What ``wanted_as_text`` wrote."""
    return tuple(wanted_read(each) for each in json.loads(text))


def wanted_read(document: Mapping[str, Any]) -> Wanted:
    """One wish out of a document."""
    later_than = document.get("later_than")
    return Wanted(
        family=document["family"],
        stripe_id=document["id"],
        later_than=datetime.fromisoformat(later_than) if later_than else None,
    )


def _wanted_written(wanted: Wanted) -> dict[str, Any]:
    document = {"family": wanted.family, "id": wanted.stripe_id}
    if wanted.later_than:
        document["later_than"] = wanted.later_than.isoformat()
    return document


def _answer_written(answer: Answer) -> dict[str, Any]:
    return {
        "request": answer.request,
        "status": answer.status,
        "at": answer.at.isoformat(),
        "body": answer.body,
    }


def _answer_read(document: Mapping[str, Any]) -> Answer:
    return Answer(
        request=document["request"],
        status=document["status"],
        at=datetime.fromisoformat(document["at"]),
        body=document["body"],
    )


_NEVER = datetime.min.replace(tzinfo=UTC)


def _moment(wanted: Wanted) -> datetime:
    return wanted.later_than or _NEVER
