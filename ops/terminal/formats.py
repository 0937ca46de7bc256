"""Parse and format times, durations, counts and grants for people.

Every command formats them here, so that one thing reads the same in each of them.
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Final

import click

from billing.rows import EntitlementRow

_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_AGO: Final = re.compile(r"([0-9]{1,9})\s*([smhdw])")
_MINUTE, _HOUR, _DAY = 60, 3600, 86_400


class TimeParam(click.ParamType[datetime]):
    """A time in ISO 8601 (UTC unless it names a zone), or an age: 90s, 15m, 2h, 3d, 1w."""

    name = "time"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> datetime:
        """Return a time with a zone."""
        try:
            return parse_time(str(value), now=datetime.now(UTC))
        except (ValueError, OverflowError):
            self.fail(
                f"{value!r} is not a time: write 2026-11-22T12:00, 2026-11-22 or an age, 2h",
                param,
                ctx,
            )


def parse_time(text: str, *, now: datetime) -> datetime:
    """Return the time that a text names.

    Raises:
        ValueError, OverflowError: the text names no time.
    """
    if ago := _AGO.fullmatch(text.strip()):
        return now - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
    at = datetime.fromisoformat(text.strip())
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)


def check_time_range(since: datetime | None, until: datetime | None) -> None:
    """Raise ``UsageError`` if the time range ends before it begins."""
    if since and until and since >= until:
        raise click.UsageError(
            f"--since {format_time(since)} is not before --until {format_time(until)}"
        )


def format_time(at: datetime | None) -> str:
    """Return a time to the second, in UTC."""
    return "-" if at is None else f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S}Z"


def format_stored_time(text: str | None) -> str:
    """Return a time that is stored as ISO 8601, as ``format_time`` does; other text as it is."""
    try:
        return format_time(datetime.fromisoformat(text) if text else None)
    except ValueError:
        return str(text)


def format_duration(seconds: float) -> str:
    """Return a duration, rounded to the unit that suits it."""
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 2 * _MINUTE:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"  # noqa: PLR2004
    if seconds < 2 * _HOUR:
        return f"{seconds / _MINUTE:.0f} min"
    if seconds < 2 * _DAY:
        return f"{seconds / _HOUR:.0f} h"
    return f"{seconds / _DAY:.0f} days"


def format_stopwatch(seconds: float) -> str:
    """Return seconds to the tenth, however many, where parts must add up to a total."""
    return f"{seconds:.1f} s"


def format_rate(per_second: float) -> str:
    """Return how many a second, to the tenth where there are few."""
    digits = 1 if per_second < 10 else 0  # noqa: PLR2004
    return f"{per_second:.{digits}f}/s"


def format_bytes(number: int) -> str:
    """Return a number of bytes in the largest unit of which there is a whole one."""
    power = min(max(number.bit_length() - 1, 0) // 10, len(_BYTE_UNITS) - 1)
    value = number / 1024**power
    return f"{value:.1f} {_BYTE_UNITS[power]}" if power else f"{number} bytes"


def format_count(number: int, noun: str, plural: str | None = None) -> str:
    """Return a number and the noun that it counts, in the plural unless there is one."""
    return f"{number} {noun if number == 1 else plural or f'{noun}s'}"


_BYTE_UNITS: Final = ("bytes", "KiB", "MiB", "GiB", "TiB")


def format_features(features: Mapping[str, object]) -> str:
    """Return the names of features, each with its value unless that is a plain yes."""
    return ", ".join(
        name if value is True else f"{name} {value}" for name, value in features.items()
    )


def format_grant(row: EntitlementRow | None) -> str:
    """Return the features that a grant gives and its end; ``nothing`` if it gives none."""
    if row is None or not row.active:
        return "nothing"
    until = f" until {format_time(row.expires_at)}" if row.expires_at else ""
    return f"{format_features(row.entitlements) or 'no feature'}{until}"
