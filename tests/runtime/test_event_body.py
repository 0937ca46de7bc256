"""The fast parser and Python's own accept the same bodies and read them alike."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing import envelope
from billing.envelope import Envelope
from billing.errors import MalformedEvent
from runtime import event_body as bodies

_LONE = st.characters(min_codepoint=0xD800, max_codepoint=0xDFFF)
_TEXTS = st.text(st.characters() | _LONE, max_size=6)
_NUMBERS = st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False)
_VALUES = st.recursive(
    st.none() | st.booleans() | _NUMBERS | _TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TEXTS, inner, max_size=3),
    max_leaves=12,
)


def _body(**others: Any) -> bytes:
    event = {
        "id": "evt_1",
        "object": "event",
        "type": "customer.created",
        "created": 1_790_000_000,
        "data": {"object": {"id": "cus_1", "object": "customer"}},
        **others,
    }
    return json.dumps(event).encode()


def _by_python(body: bytes) -> Envelope | None:
    try:
        return envelope.parse(body)
    except MalformedEvent:
        return None


def _by_orjson(body: bytes) -> Envelope | None:
    try:
        return bodies.parse(body)
    except MalformedEvent:
        return None


@given(_VALUES)
def test_every_event_is_read_as_python_reads_it(value: Any) -> None:
    body = _body(metadata=value)

    assert _by_orjson(body) == _by_python(body) is not None


@given(st.binary(max_size=4), st.integers(0, len(_body())))
def test_what_python_refuses_is_refused_and_nothing_else(strange: bytes, at: int) -> None:
    body = _body()[:at] + strange + _body()[at:]

    assert _by_orjson(body) == _by_python(body)


@pytest.mark.parametrize(
    "number", ["1e999", "NaN", "-Infinity", "9" * 5000, "9" * 400 + ".5", "01", "1."]
)
def test_a_number_that_no_one_can_hold_is_refused(number: str) -> None:
    body = _body(amount=0).replace(b'"amount": 0', b'"amount": ' + number.encode())

    with pytest.raises(MalformedEvent):
        bodies.parse(body)


@pytest.mark.parametrize("number", [2**64, -(2**63) - 1, 10**400])
def test_a_number_beyond_64_bits_makes_no_event_unreadable(number: int) -> None:
    assert bodies.parse(_body(amount=number)).event_id == "evt_1"


@pytest.mark.parametrize("number", [2**64, 10**30])
def test_a_time_beyond_64_bits_is_none_to_both(number: int) -> None:
    assert _by_orjson(_body(created=number)) is _by_python(_body(created=number)) is None


def test_a_lone_surrogate_is_read() -> None:
    payload = bodies.parse(_body(name="\ud800")).payload

    assert payload["name"] == "\ud800"
