"""Read what people write of a grant: the user, features, the reason, from when until when."""

import re
from collections.abc import Iterable
from datetime import datetime
from typing import Final
from zoneinfo import ZoneInfo

from billing.catalogue import MAX_NUMBER, FeatureValue
from billing.text import storable
from ops.errors import CommandFailed
from ops.statements.times import Duration, parse_duration, parse_end, parse_start

_WORDS: Final = {"true": True, "yes": True, "false": False, "no": False}
_DIGITS: Final = re.compile(r"[0-9]{1,16}")
MAX_NAME: Final = 100
MAX_TEXT: Final = 500
"""Characters of a user's id and of a reason; a value of Stripe's metadata has as many."""


class UnreadableRequest(CommandFailed):
    """The text is no request; the database was not asked."""


def read_user(text: str) -> str:
    """Return the id of a user, without the spaces around it.

    Raises:
        UnreadableRequest: it is empty or too long.
    """
    return _bounded(text, "a user")


def read_reason(text: str) -> str:
    """Return a reason, without the spaces around it.

    Raises:
        UnreadableRequest: it is empty or too long.
    """
    return _bounded(text, "a reason")


def read_features(texts: Iterable[str]) -> dict[str, FeatureValue]:
    """Return the features of several ``NAME=VALUE``.

    Raises:
        UnreadableRequest: one is none, or is named twice.
    """
    features: dict[str, FeatureValue] = {}
    for text in texts:
        name, value = read_feature(text)
        if name in features:
            raise UnreadableRequest(f"the feature {name!r} is given twice")
        features[name] = value
    return features


def read_feature(text: str) -> tuple[str, FeatureValue]:
    """Return the name and value of ``NAME=VALUE``; a name alone is true.

    Raises:
        UnreadableRequest: the value is neither true nor false nor a whole number.
    """
    name, given, value = text.partition("=")
    name = storable(name).strip()
    if not name or len(name) > MAX_NAME or not name.isprintable() or " " in name:
        raise UnreadableRequest(f"{text!r} names no feature: write NAME=VALUE")
    if not given:
        return name, True
    word = value.strip().lower()
    if word in _WORDS:
        return name, _WORDS[word]
    if _DIGITS.fullmatch(word) and int(word) <= MAX_NUMBER:
        return name, int(word)
    raise UnreadableRequest(
        f"{text!r}: the value is true, false or a whole number up to {MAX_NUMBER}"
    )


def read_period(
    zone: ZoneInfo, *, starts: str | None, lasts: str | None, until: str | None, forever: bool
) -> tuple[datetime | None, Duration | None, datetime | None]:
    """Return the start, the duration and the end that were written; None where there is none.

    Raises:
        UnreadableRequest: not exactly one of the ways to say the end was used, or one is no time.
    """
    if [lasts is not None, until is not None, forever].count(True) != 1:
        raise UnreadableRequest("say how long: one of --for, --until and --forever")
    try:
        return (
            None if starts is None else parse_start(starts, zone),
            None if lasts is None else parse_duration(lasts),
            None if until is None else parse_end(until, zone),
        )
    except ValueError as error:
        raise UnreadableRequest(str(error)) from error


def _bounded(text: str, what: str) -> str:
    bounded = storable(text).strip()
    if not 0 < len(bounded) <= MAX_TEXT:
        raise UnreadableRequest(f"{what} has 1 to {MAX_TEXT} characters")
    return bounded
