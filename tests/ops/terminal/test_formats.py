from datetime import UTC, datetime, timedelta, timezone

import click
import pytest

from ops.terminal.formats import Moment, moment, span, stamp
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
def test_a_time_is_read_as_people_write_it(text: str, expected: datetime) -> None:
    assert moment(text, now=NOW) == expected


@pytest.mark.parametrize(
    "text", ["", "yesterday", "2", "2 years", "-2h", "999999999w", "0001-01-01T00:00+09:00"]
)
def test_what_is_no_time_is_wrong_use(text: str) -> None:
    with pytest.raises(click.BadParameter, match="is no time"):
        Moment().convert(text, None, None)


def test_a_time_is_shown_in_utc_to_the_second() -> None:
    berlin = timezone(timedelta(hours=1))

    assert stamp(datetime(2026, 11, 22, 13, 0, 0, 999, tzinfo=berlin)) == "2026-11-22 12:00:00Z"
    assert stamp(None) == "-"


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0.04, "0.0 s"),
        (9.94, "9.9 s"),
        (31, "31 s"),
        (600, "10 min"),
        (4 * 3600, "4 h"),
        (86400 * 9, "9 days"),
    ],
)
def test_a_span_is_said_roughly(seconds: float, said: str) -> None:
    assert span(seconds) == said
