"""Read what people write of a grant: features, and from when until when."""

from datetime import datetime
from typing import Final
from zoneinfo import ZoneInfo

from billing.catalogue import MAX_NUMBER, FeatureValue
from billing.text import storable
from ops.errors import CommandFailed
from ops.statements.times import Duration, parse_duration, parse_end, parse_start

_WORDS: Final = {"true": True, "yes": True, "false": False, "no": False}
MAX_NAME: Final = 100


def read_feature(text: str) -> tuple[str, FeatureValue]:
    """Return the name and value of ``NAME=VALUE``; a name alone is true.

    Raises:
        CommandFailed: the value is neither true nor false nor a whole number.
    """
    name, given, value = text.partition("=")
    name = storable(name).strip()
    if not name or len(name) > MAX_NAME or not name.isprintable() or " " in name:
        raise CommandFailed(f"{text!r} names no feature: write NAME=VALUE")
    if not given:
        return name, True
    word = value.strip().lower()
    if word in _WORDS:
        return name, _WORDS[word]
    if word.isascii() and word.isdigit() and int(word) <= MAX_NUMBER:
        return name, int(word)
    raise CommandFailed(f"{text!r}: the value is true, false or a whole number up to {MAX_NUMBER}")


def read_period(
    zone: ZoneInfo, *, starts: str | None, lasts: str | None, until: str | None, forever: bool
) -> tuple[datetime | None, Duration | None, datetime | None]:
    """Return the start, the duration and the end that were written; None where there is none.

    Raises:
        CommandFailed: not exactly one of the ways to say the end was used, or one is no time.
    """
    if [lasts is not None, until is not None, forever].count(True) != 1:
        raise CommandFailed("say how long: one of --for, --until and --forever")
    try:
        return (
            None if starts is None else parse_start(starts, zone),
            None if lasts is None else parse_duration(lasts),
            None if until is None else parse_end(until, zone),
        )
    except ValueError as error:
        raise CommandFailed(f"{error}: write 2026-12-31 or 2026-12-31T18:00") from error
