from zoneinfo import ZoneInfo

import pytest

from ops.errors import CommandFailed
from ops.statements.request import read_feature, read_period

UTC = ZoneInfo("UTC")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("beta", ("beta", True)),
        ("beta=true", ("beta", True)),
        ("beta=No", ("beta", False)),
        ("max_devices=12", ("max_devices", 12)),
        (" max_devices = 0 ", ("max_devices", 0)),
    ],
)
def test_a_feature_is_a_name_and_a_value(text: str, value: object) -> None:
    assert read_feature(text) == value


@pytest.mark.parametrize(
    "text", ["", "=5", "a b=1", "x=much", "x=1.5", "x=-1", "x=9007199254740992"]
)
def test_what_is_no_feature_is_refused(text: str) -> None:
    with pytest.raises(CommandFailed):
        read_feature(text)


def test_exactly_one_way_says_how_long() -> None:
    assert read_period(UTC, starts=None, lasts=None, until=None, forever=True) == (None,) * 3
    for lasts, until, forever in (
        (None, None, False),
        ("1d", "2027-01-01", False),
        ("1d", None, True),
    ):
        with pytest.raises(CommandFailed, match="one of --for, --until and --forever"):
            read_period(UTC, starts=None, lasts=lasts, until=until, forever=forever)


def test_what_is_no_time_is_named_with_the_way_to_write_one() -> None:
    with pytest.raises(CommandFailed, match="write 2026-12-31"):
        read_period(UTC, starts="soon", lasts="1d", until=None, forever=False)
