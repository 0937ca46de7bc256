from zoneinfo import ZoneInfo

import pytest

from ops.errors import CommandFailed
from ops.statements.request import read_feature, read_features, read_period, read_reason, read_user

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
    "text", ["", "=5", "a b=1", "x=much", "x=1.5", "x=-1", "x=9007199254740992", "x=" + "9" * 5000]
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


def test_what_is_no_duration_is_named_with_the_way_to_write_a_duration_alone() -> None:
    with pytest.raises(CommandFailed) as refused:
        read_period(UTC, starts=None, lasts="0d", until=None, forever=False)

    assert str(refused.value) == "'0d' is no duration: write 12h, 30d, 4w, 4mo or 1y"


def test_a_time_outside_every_calendar_is_refused_and_says_what_has_no_end() -> None:
    with pytest.raises(CommandFailed, match="too far in the past"):
        read_period(
            ZoneInfo("Europe/Berlin"), starts="0001-01-01", lasts="1d", until=None, forever=False
        )
    with pytest.raises(CommandFailed, match=r"too far in the future: --forever has no end$"):
        read_period(UTC, starts=None, lasts=None, until="9999-12-31", forever=False)


def test_a_feature_is_named_once() -> None:
    assert read_features(["beta", "max_devices=3"]) == {"beta": True, "max_devices": 3}
    with pytest.raises(CommandFailed, match="'beta' is given twice"):
        read_features(["beta", "beta=false"])


@pytest.mark.parametrize(("text", "user"), [(" usr_1\n", "usr_1"), ("u" * 500, "u" * 500)])
def test_a_user_is_a_text_without_spaces_around_it(text: str, user: str) -> None:
    assert read_user(text) == user


@pytest.mark.parametrize("text", ["", " ", "\t\n", "u" * 501])
def test_a_user_without_a_name_or_with_an_endless_one_is_refused(text: str) -> None:
    with pytest.raises(CommandFailed, match="a user has 1 to 500 characters"):
        read_user(text)


def test_a_reason_is_a_text_of_bounded_length() -> None:
    assert read_reason(" the outage ") == "the outage"
    for text in ("", " ", "x" * 501):
        with pytest.raises(CommandFailed, match="a reason has 1 to 500 characters"):
            read_reason(text)
