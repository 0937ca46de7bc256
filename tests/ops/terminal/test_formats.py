from datetime import UTC, datetime, timedelta, timezone

import click
import pytest

from ops.terminal.formats import (
    TimeParam,
    check_time_range,
    format_count,
    format_duration,
    format_features,
    format_time,
    parse_time,
)
from tests.fakes import NOW


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2h", NOW - timedelta(hours=2)),
        (" 3d ", NOW - timedelta(days=3)),
        ("90 s", NOW - timedelta(seconds=90)),
        ("15m", NOW - timedelta(minutes=15)),
        ("1w", NOW - timedelta(days=7)),
        ("2026-11-22", datetime(2026, 11, 22, tzinfo=UTC)),
        ("2026-11-22T12:30", datetime(2026, 11, 22, 12, 30, tzinfo=UTC)),
        ("2026-11-22T12:30:00Z", datetime(2026, 11, 22, 12, 30, tzinfo=UTC)),
        ("2026-11-22T12:30+02:00", datetime(2026, 11, 22, 10, 30, tzinfo=UTC)),
    ],
)
def test_a_time_can_be_iso_8601_or_an_age(text: str, expected: datetime) -> None:
    assert parse_time(text, now=NOW) == expected


@pytest.mark.parametrize(
    "text", ["", "yesterday", "2", "2 years", "-2h", "999999999w", "0001-01-01T00:00+09:00"]
)
def test_text_that_is_not_a_time_is_wrong_usage(text: str) -> None:
    with pytest.raises(click.BadParameter, match="is not a time"):
        TimeParam().convert(text, None, None)


def test_a_time_is_shown_in_utc_to_the_second() -> None:
    berlin = timezone(timedelta(hours=1))

    assert (
        format_time(datetime(2026, 11, 22, 13, 0, 0, 999, tzinfo=berlin)) == "2026-11-22 12:00:00Z"
    )
    assert format_time(None) == "-"


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0.0004, "0 ms"),
        (0.04, "40 ms"),
        (1, "1.0 s"),
        (9.94, "9.9 s"),
        (31, "31 s"),
        (600, "10 min"),
        (4 * 3600, "4 h"),
        (86400 * 9, "9 days"),
    ],
)
def test_a_duration_is_rounded(seconds: float, said: str) -> None:
    assert format_duration(seconds) == said


def test_a_time_range_must_not_end_before_it_begins() -> None:
    check_time_range(NOW, NOW + timedelta(seconds=1))
    check_time_range(None, NOW)

    with pytest.raises(click.UsageError, match="is not before --until"):
        check_time_range(NOW, NOW)


def test_one_thing_is_counted_in_the_singular() -> None:
    assert [format_count(number, "event") for number in (0, 1, 2)] == [
        "0 events",
        "1 event",
        "2 events",
    ]


def test_a_feature_that_is_a_plain_yes_is_named_without_its_value() -> None:
    assert format_features({"alerts": True, "export": False, "seats": 1}) == (
        "alerts, export False, seats 1"
    )
