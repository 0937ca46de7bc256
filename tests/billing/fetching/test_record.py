"""Requests and responses while they are made, and the targets that wait."""

import json

import pytest

from billing.errors import MalformedEvent
from billing.fetching.record import (
    FetchRecord,
    FetchTarget,
    read_response,
    targets_from_text,
    targets_to_text,
)
from tests.billing.fact_builders import at

SUBSCRIPTION = FetchTarget(family="subscription", stripe_id="sub_1")
LATER = FetchTarget(family="subscription", stripe_id="sub_1", later_than=at(5))
CUSTOMER = FetchTarget(family="customer", stripe_id="cus_1")


def test_open_targets_are_read_as_they_were_written() -> None:
    assert targets_from_text(targets_to_text((LATER, CUSTOMER))) == (LATER, CUSTOMER)


def test_documents_are_compact() -> None:
    """Compare bytes: stored documents must stay readable, and rows must stay small."""
    target = '{"family":"subscription","id":"sub_1"}'

    assert targets_to_text((SUBSCRIPTION,)) == f"[{target}]"


def test_a_response_is_of_a_whole_second_and_names_its_api_version() -> None:
    response = read_response("/v1/customers/cus_1", 200, at(0.7), "{}", "2026-10-28.endive")

    assert (response.at, response.api_version) == (at(0), "2026-10-28.endive")
    assert read_response("/v1/customers/cus_1", 200, at(0), "{}").api_version is None


def test_a_response_is_found_by_its_request() -> None:
    one = read_response("/v1/customers/cus_1", 404, at(0), "{}")
    fetched = FetchRecord(targets=(CUSTOMER,)).with_response(one)

    assert fetched.response_to("/v1/customers/cus_1") == one
    assert fetched.response_to("/v1/customers/cus_2") is None


@pytest.mark.parametrize("body", ["", "[]", "NaN", '{"a": 1e999}', "[" * 300])
def test_a_body_that_no_event_could_have_is_refused(body: str) -> None:
    with pytest.raises(MalformedEvent):
        read_response("/v1/customers/cus_1", 200, at(0), body)


def test_a_representation_shows_nothing_of_the_responses() -> None:
    response = read_response(
        "/v1/customers/cus_1", 200, at(0), json.dumps({"email": "ada@example.com"})
    )

    assert "ada" not in repr(FetchRecord(targets=(CUSTOMER,), responses=(response,)))
