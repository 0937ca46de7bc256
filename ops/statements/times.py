"""The end of a grant as people write it: a duration, a date, or a moment. Pure."""

import calendar
import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Final
from zoneinfo import ZoneInfo

_UNITS: Final = {"h": "hours", "d": "days", "w": "weeks"}
_MONTHS: Final = {"mo": 1, "y": 12}
_DURATION: Final = re.compile(r"([1-9][0-9]{0,5})\s*(h|d|w|mo|y)")
_MIN_YEAR: Final = 1970
_MAX_YEAR: Final = 9000
"""Much earlier and later dates have no place for a zone's offset."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Duration:
    """Calendar months and a span of time; ``text`` is what was written."""

    months: int
    span: timedelta
    text: str

    def after(self, start: datetime, zone: ZoneInfo) -> datetime:
        """Return the end of the duration; months end on the same day, or the month's last.

        Raises:
            ValueError: it is too far in the future.
        """
        reason = f"{self.text!r} ends too far in the future"
        try:
            end = _months_later(start.astimezone(zone), self.months).astimezone(UTC) + self.span
        except OverflowError:
            raise ValueError(reason) from None
        if end.year > _MAX_YEAR:
            raise ValueError(reason)
        return end


def parse_duration(text: str) -> Duration:
    """Return the duration that a text names: 12h, 30d, 4w, 4mo, 1y.

    Raises:
        ValueError: the text names none.
    """
    found = _DURATION.fullmatch(text.strip())
    if found is None:
        reason = f"{text!r} is no duration: write 12h, 30d, 4w, 4mo or 1y"
        raise ValueError(reason)
    number, unit = int(found[1]), found[2]
    if unit in _MONTHS:
        return Duration(months=number * _MONTHS[unit], span=timedelta(), text=text.strip())
    return Duration(months=0, span=timedelta(**{_UNITS[unit]: number}), text=text.strip())


def parse_end(text: str, zone: ZoneInfo) -> datetime:
    """Return the moment at which a date or a time ends: a date without a time ends with its day.

    Raises:
        ValueError: the text names no time, or one too far away.
    """
    return _moment(text, zone, day_ends=True)


def parse_start(text: str, zone: ZoneInfo) -> datetime:
    """Return the moment at which a date or a time begins.

    Raises:
        ValueError: the text names no time, or one too far away.
    """
    return _moment(text, zone, day_ends=False)


def _moment(text: str, zone: ZoneInfo, *, day_ends: bool) -> datetime:
    written = _written(text)
    if written.year > _MAX_YEAR:
        reason = f"{text!r} is too far in the future: --forever has no end"
        raise ValueError(reason)
    if written.year < _MIN_YEAR:
        reason = f"{text!r} is too far in the past"
        raise ValueError(reason)
    if isinstance(written, datetime):
        at = written
    else:
        at = datetime.combine(written + timedelta(days=day_ends), time())
    return (at if at.tzinfo else at.replace(tzinfo=zone)).astimezone(UTC)


def _written(text: str) -> date:
    try:
        return date.fromisoformat(text.strip())
    except ValueError:
        pass
    try:
        return datetime.fromisoformat(text.strip())
    except ValueError:
        reason = f"{text!r} is no time: write 2026-12-31 or 2026-12-31T18:00"
        raise ValueError(reason) from None


def _months_later(at: datetime, months: int) -> datetime:
    if not months:
        return at
    year, month = divmod(at.year * 12 + at.month - 1 + months, 12)
    if year > _MAX_YEAR:
        raise OverflowError
    last_day = calendar.monthrange(year, month + 1)[1]
    return at.replace(year=year, month=month + 1, day=min(at.day, last_day))
