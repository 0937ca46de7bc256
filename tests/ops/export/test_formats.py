"""Lines of CSV that RFC 4180 describes and no spreadsheet runs, and lines of JSON."""

import csv
import io
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ops.export.formats import FORMATS, csv_lines, json_lines

ROW: dict[str, Any] = {
    "user": "usr_1",
    "at": datetime(2026, 11, 30, 7, 0, tzinfo=UTC),
    "none": None,
    "yes": True,
    "amount": -500,
    "features": {"max_devices": 5, "é": True},
    "seats": ["max_devices"],
}


def read_back(lines: bytes) -> list[list[str]]:
    return list(csv.reader(io.StringIO(lines.decode(), newline=""), strict=True))


def test_csv_has_a_line_of_names_and_ends_each_line_with_crlf() -> None:
    written = b"".join(csv_lines(tuple(ROW), [ROW]))

    assert written.count(b"\r\n") == 2
    names, cells = read_back(written)
    assert names == list(ROW)
    assert cells == [
        *("usr_1", "2026-11-30T07:00:00+00:00", "", "true", "-500"),
        *('{"max_devices":5,"é":true}', '["max_devices"]'),
    ]


@given(st.text(st.characters(codec="utf-8", exclude_characters="\x00")))
def test_a_text_comes_back_when_one_apostrophe_is_removed(text: str) -> None:
    (_, (cell,)) = read_back(b"".join(csv_lines(["user"], [{"user": text or "x"}])))

    assert cell.removeprefix("'") == (text or "x")


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@a", "\t=1", "\r=1", "\n=1", "'=1"])
def test_no_text_begins_as_a_formula_does(text: str) -> None:
    (_, (cell,)) = read_back(b"".join(csv_lines(["reason"], [{"reason": text}])))

    assert cell == f"'{text}"


def test_json_has_the_exact_text_on_one_line() -> None:
    written = b"".join(json_lines(["user", "at"], [{**ROW, "user": "=1\n\u2028"}]))

    assert written.count(b"\n") == 1
    assert written.isascii()
    assert json.loads(written) == {"user": "=1\n\u2028", "at": "2026-11-30T07:00:00+00:00"}


@pytest.mark.parametrize("name", FORMATS)
def test_only_the_named_columns_are_written(name: str) -> None:
    assert b"usr_1" not in b"".join(FORMATS[name](["yes"], [ROW]))
