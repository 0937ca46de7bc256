"""Read a past moment as a person types it: a date or a time in the deployment's zone, or an age."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from ops.statements.times import parse_start
from ops.terminal.formats import parse_time


def read_past(text: str, zone: ZoneInfo) -> tuple[datetime | None, str]:
    """Return the moment, None for an empty text; and what is wrong with the text, if anything."""
    text, now = text.strip(), datetime.now(UTC)
    if not text:
        return None, ""
    try:
        at = parse_time(text, now=now) if text[-1:].isalpha() else parse_start(text, zone)
    except (ValueError, OverflowError):
        return (
            None,
            f"“{text}” is no time: write 2026-11-22, 2026-11-22 12:00, or an age such as 2h",
        )
    if at > now:
        return None, f"“{text}” is in the future: the page of now says when access ends"
    return at, ""
