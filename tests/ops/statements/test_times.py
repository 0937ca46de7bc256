from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from ops.statements.times import parse_duration, parse_end, parse_start

BERLIN = ZoneInfo("Europe/Berlin")
UTC_ZONE = ZoneInfo("UTC")


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def test_a_date_without_a_time_ends_with_its_day_in_the_zone() -> None:
    assert parse_end("2026-12-31", UTC_ZONE) == moment("2027-01-01")
    assert parse_end("2026-12-31", BERLIN) == moment("2026-12-31T23:00")
    assert parse_end("2026-06-30", BERLIN) == moment("2026-06-30T22:00")


def test_a_start_begins_with_its_day() -> None:
    assert parse_start("2026-12-31", BERLIN) == moment("2026-12-30T23:00")


def test_a_time_is_of_the_zone_unless_it_names_its_own() -> None:
    assert parse_end("2026-12-31T18:00", BERLIN) == moment("2026-12-31T17:00")
    assert parse_end("2026-12-31T18:00Z", BERLIN) == moment("2026-12-31T18:00")
    assert parse_end("2026-12-31T18:00+05:30", BERLIN) == moment("2026-12-31T12:30")


@pytest.mark.parametrize("text", ["", "tomorrow", "2026-02-30", "31.12.2026", "9999-12-31"])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"is no time: write 2026-12-31|too far in the future"):
        parse_end(text, UTC_ZONE)


@pytest.mark.parametrize("text", ["0001-01-01", "0001-01-01T00:00+05:00", "1969-12-31"])
def test_a_time_of_long_ago_is_refused(text: str) -> None:
    for parse in (parse_start, parse_end):
        with pytest.raises(ValueError, match="too far in the past"):
            parse(text, BERLIN)


@pytest.mark.parametrize("text", ["400000w", "999999w", "999999mo", "7000y"])
def test_a_duration_that_no_calendar_holds_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="too far in the future"):
        parse_duration(text).after(moment("2026-01-31T10:00"), BERLIN)


@pytest.mark.parametrize(
    ("text", "end"),
    [
        ("12h", "2026-01-31T22:00"),
        ("30d", "2026-03-02T10:00"),
        ("2w", "2026-02-14T10:00"),
        ("1mo", "2026-02-28T10:00"),
        ("4mo", "2026-05-31T10:00"),
        ("1y", "2027-01-31T10:00"),
    ],
)
def test_a_duration_ends_that_much_later(text: str, end: str) -> None:
    start = moment("2026-01-31T10:00")

    assert parse_duration(text).after(start, UTC_ZONE) == moment(end)


def test_months_keep_the_hour_of_the_zone_when_the_clocks_change() -> None:
    start = moment("2026-02-15T09:00")

    assert parse_duration("2mo").after(start, BERLIN) == moment("2026-04-15T08:00")


@pytest.mark.parametrize("text", ["", "0d", "-1d", "30", "d", "1.5d", "30 min", "1000000d"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no duration"):
        parse_duration(text)


def test_the_latest_span_ends_where_every_zone_can_write_it() -> None:
    with pytest.raises(ValueError, match="too far in the future"):
        parse_duration("416000w").after(moment("2026-11-29"), UTC_ZONE)


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("2027-03-28T02:30", "2027-03-28T01:30"),  # skipped: the clock shows 03:30 then
        ("2027-10-31T02:30", "2027-10-31T00:30"),  # twice on the clock: the first
        ("2027-03-28", "2027-03-28T22:00"),
        ("2027-10-31", "2027-10-31T23:00"),
    ],
)
def test_a_time_on_a_day_with_a_clock_change_has_one_instant(text: str, at: str) -> None:
    assert parse_end(text, BERLIN) == moment(at)


def test_a_span_is_exact() -> None:
    start = moment("2026-03-29T00:00")

    assert parse_duration("1d").after(start, BERLIN) - start == timedelta(days=1)
