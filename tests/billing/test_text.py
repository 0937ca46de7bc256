"""Any text that reaches PostgreSQL can be stored."""

import pytest

from billing.text import storable, storable_json


@pytest.mark.parametrize(
    ("text", "stored"),
    [
        ("usr_123", "usr_123"),
        ("nul\x00byte", "nul\ufffdbyte"),
        ("high \ud800 and low \udfff", "high \ufffd and low \ufffd"),
        ("whole pair \U0001f600", "whole pair \U0001f600"),
    ],
)
def test_nul_and_lone_surrogates_are_replaced(text: str, stored: str) -> None:
    assert storable(text) == stored


def test_json_is_made_storable_to_its_depth_keys_included() -> None:
    value = {"a\x00": ["\ud800", {"b": ("c\x00", 1, None, True)}]}

    expected = {"a\ufffd": ["\ufffd", {"b": ["c\ufffd", 1, None, True]}]}
    assert storable_json(value) == expected
