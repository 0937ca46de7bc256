"""JSON that Paidup writes comes back as it was, with any text of an operator or a Stripe id."""

import json
from datetime import UTC, datetime

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from runtime.json_text import read_json, write_json

TEXTS = st.text(st.characters(exclude_categories=()))
"""Lone surrogates included: a terminal makes them of bytes that are no UTF-8."""

WHOLE = st.integers(-(2**63), 2**63 - 1)


def values(leaves: st.SearchStrategy[object]) -> st.SearchStrategy[object]:
    return st.recursive(
        st.none()
        | st.booleans()
        | leaves
        | st.floats(allow_nan=False, allow_infinity=False)
        | TEXTS,
        lambda inner: st.lists(inner) | st.dictionaries(TEXTS, inner),
    )


@given(values(WHOLE))
@example({"reason": "\udcff"})
def test_what_is_written_is_read_as_it_was(value: object) -> None:
    assert read_json(write_json(value).encode()) == value


@given(values(st.integers()))
@example({"amount": 2**70})
def test_it_is_json_to_others(value: object) -> None:
    assert json.loads(write_json(value)) == value


def test_nothing_is_written_that_the_inbox_would_have_to_skip() -> None:
    assert write_json({"v": 1, "fp": "0f"}) == '{"v":1,"fp":"0f"}'


def test_what_json_does_not_know_is_made_plain() -> None:
    assert write_json({"tags": frozenset({"b"}), "huge": 2**70}, sorted) == (
        '{"tags":["b"],"huge":1180591620717411303424}'
    )
    assert (
        read_json(write_json(datetime(2026, 1, 1, tzinfo=UTC)).encode())
        == "2026-01-01T00:00:00+00:00"
    )


def test_what_nobody_can_write_is_refused() -> None:
    with pytest.raises(TypeError):
        write_json({"file": object()})


@pytest.mark.parametrize("text", [b"", b"{", b"\xff", b"nothing"])
def test_what_is_no_json_is_refused(text: bytes) -> None:
    with pytest.raises(ValueError, match=r".+"):
        read_json(text)
