"""What was fetched is kept as one document and read back as it was."""

import json

import pytest

from billing.errors import MalformedEvent
from billing.fetching.record import (
    Fetched,
    Wanted,
    answer,
    joined,
    wanted_as_text,
    wanted_from_text,
)
from tests.billing.fact_builders import at

SUBSCRIPTION = Wanted(family="subscription", stripe_id="sub_1")
LATER = Wanted(family="subscription", stripe_id="sub_1", later_than=at(5))
CUSTOMER = Wanted(family="customer", stripe_id="cus_1")


def test_a_document_is_read_as_it_was_written() -> None:
    whole = Fetched(wanted=(LATER, CUSTOMER)).with_answer(
        answer("/v1/subscriptions/sub_1", 200, at(6), '{"id": "sub_1", "name": "\\u0000é\\ud800"}')
    )

    text = whole.as_text()

    assert Fetched.from_text(text) == whole
    assert text.isascii()
    assert "\x00" not in text


def test_what_is_open_is_read_as_it_was_written() -> None:
    assert wanted_from_text(wanted_as_text((LATER, CUSTOMER))) == (LATER, CUSTOMER)


def test_an_answer_is_found_by_its_request() -> None:
    one = answer("/v1/customers/cus_1", 404, at(0), "{}")
    fetched = Fetched(wanted=(CUSTOMER,)).with_answer(one)

    assert fetched.to("/v1/customers/cus_1") == one
    assert fetched.to("/v1/customers/cus_2") is None


@pytest.mark.parametrize("body", ["", "[]", "NaN", '{"a": 1e999}', "[" * 300])
def test_an_answer_that_no_event_could_have_is_refused(body: str) -> None:
    with pytest.raises(MalformedEvent):
        answer("/v1/customers/cus_1", 200, at(0), body)


@pytest.mark.parametrize("pair", [(SUBSCRIPTION, LATER), (LATER, SUBSCRIPTION)])
def test_of_two_wishes_for_one_object_the_stricter_one_stands(pair: tuple[Wanted, Wanted]) -> None:
    assert joined((pair[0], CUSTOMER), (pair[1],)) == (LATER, CUSTOMER)


def test_a_representation_shows_nothing_of_what_was_answered() -> None:
    told = answer("/v1/customers/cus_1", 200, at(0), json.dumps({"email": "ada@example.com"}))

    assert "ada" not in repr(Fetched(wanted=(CUSTOMER,), answers=(told,)))
