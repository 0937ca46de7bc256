"""Odd values count as absent, never as money, time or identity."""

from datetime import UTC, datetime
from typing import Any

import pytest

from billing import json_fields as raw
from billing.envelope import LATEST


@pytest.mark.parametrize("value", [None, True, "100", 1.0, [], {}, -1, 2**63, 10**400])
def test_what_is_no_amount_is_not_money(value: object) -> None:
    assert raw.integer_in({"amount": value}, "amount") is None
    assert raw.amount_in({"amount": value}, "amount") == 0


@pytest.mark.parametrize("value", [0, 1, 2**63 - 1])
def test_an_amount_is_taken_as_it_is(value: int) -> None:
    assert raw.amount_in({"amount": value}, "amount") == value


@pytest.mark.parametrize("value", [None, True, "100", 1.0, [], {}, 2**63, -(2**63), 10**400])
def test_what_is_no_amount_is_no_credit_either(value: object) -> None:
    assert raw.signed_in({"amount": value}, "amount") is None


@pytest.mark.parametrize("value", [-(2**63) + 1, -1, 0, 1, 2**63 - 1])
def test_a_credit_is_taken_as_it_is(value: int) -> None:
    assert raw.signed_in({"amount": value}, "amount") == value


def test_metadata_is_sorted_and_leaves_out_what_fits_no_key_column() -> None:
    longest = "k" * 255
    metadata = {"b": "2", "a": "1", longest: "x" * 255, "k" * 256: "x", "c": "x" * 256, "d": ""}

    read = raw.whole_metadata_in({"metadata": metadata})

    assert read == (("a", "1"), ("b", "2"), (longest, "x" * 255))


@pytest.mark.parametrize("value", [None, True, "1", 1.5, -1, LATEST + 1, 10**400])
def test_what_is_no_time_is_no_time(value: object) -> None:
    assert raw.time_in({"ended_at": value}, "ended_at") is None


def test_times_are_aware() -> None:
    assert raw.time_in({"created": 0}, "created") == datetime(1970, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize("value", [None, "", 7, True, ["a"], {"id": "a"}, "x" * 256])
def test_a_text_that_says_nothing_is_absent(value: object) -> None:
    assert raw.text_in({"name": value}, "name") is None


@pytest.mark.parametrize("value", ["x", "x" * 255])
def test_a_text_of_any_other_length_is_taken(value: str) -> None:
    assert raw.text_in({"name": value}, "name") == value


def test_the_last_representable_moment_is_a_time() -> None:
    assert raw.time_in({"at": LATEST}, "at") == datetime.fromtimestamp(LATEST, UTC)


def test_a_text_is_made_storable() -> None:
    assert raw.text_in({"name": "a\x00\ud800"}, "name") == "a\ufffd\ufffd"


@pytest.mark.parametrize("value", [None, "true", 1, {}])
def test_only_true_is_true(value: object) -> None:
    assert not raw.flag_in({"deleted": value}, "deleted")


@pytest.mark.parametrize(
    "held",
    [
        {"data": [{"id": "a"}, None, "b", {"id": "c"}]},
        [{"id": "a"}, {"id": "c"}],
    ],
)
def test_a_list_is_read_in_both_of_stripes_forms(held: object) -> None:
    assert list(raw.objects_in({"items": held}, "items")) == [{"id": "a"}, {"id": "c"}]


@pytest.mark.parametrize("held", [None, "items", 7, {"data": None}, {"data": {"id": "a"}}])
def test_what_is_no_list_has_no_rows(held: object) -> None:
    assert list(raw.objects_in({"items": held}, "items")) == []


@pytest.mark.parametrize(
    ("line", "names"),
    [
        (
            {"pricing": {"price_details": {"price": "price_1", "product": "prod_1"}}},
            ("price_1", None, "prod_1"),
        ),
        (
            {"price": {"id": "price_1", "lookup_key": "gold", "product": "prod_1"}},
            ("price_1", "gold", "prod_1"),
        ),
        (
            {"price": {"id": "price_1", "product": {"id": "prod_1"}}, "plan": {"id": "old"}},
            ("price_1", None, "prod_1"),
        ),
        ({"price": None, "plan": {"id": "gold plan é"}}, ("gold plan é", None, None)),
        ({"price": "price_1"}, ("price_1", None, None)),
        ({"price": True, "plan": 7}, (None, None, None)),
        ({}, (None, None, None)),
    ],
)
def test_what_a_line_sells_is_found_on_every_path(
    line: dict[str, Any], names: tuple[str | None, ...]
) -> None:
    assert raw.price_names_of(line) == names


def test_previous_attributes_merge_objects_and_replace_other_values() -> None:
    current = {
        "status": "active",
        "metadata": {"user_id": "usr_1", "kept": "yes"},
        "items": {"data": [{"id": "si_2"}], "url": "/"},
        "latest_invoice": {"id": "in_1"},
    }
    previous = {
        "status": "incomplete",
        "metadata": {"user_id": None},
        "items": {"data": [{"id": "si_1"}]},
        "latest_invoice": "in_0",
        "plan": {"id": "gold"},
    }

    assert raw.before_change(current, previous) == {
        "status": "incomplete",
        "metadata": {"user_id": None, "kept": "yes"},
        "items": {"data": [{"id": "si_1"}], "url": "/"},
        "latest_invoice": "in_0",
        "plan": {"id": "gold"},
    }
    assert current["status"] == "active"
    assert current["metadata"] == {"user_id": "usr_1", "kept": "yes"}
