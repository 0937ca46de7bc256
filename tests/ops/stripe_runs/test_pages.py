"""A page is a list of objects that can be stored, or no page."""

import json
from datetime import UTC, datetime

import pytest

from billing.fetching.record import read_response
from ops.stripe_runs.lists import CUSTOMERS, FEATURES
from ops.stripe_runs.pages import UnreadablePage, read_page
from runtime.json_text import write_json

AT = datetime(2026, 11, 1, tzinfo=UTC)
CUSTOMER = {"id": "cus_1", "object": "customer", "created": 5, "name": "Ada"}


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ({}, "answers no list"),
        ({"data": {}, "has_more": False}, "answers no list"),
        ({"data": []}, "answers no list"),
        ({"data": [], "has_more": True}, "an empty page that has more"),
        ({"data": [{"created": 5}], "has_more": False}, "without an id"),
        ({"data": ["cus_1"], "has_more": False}, "without an id"),
        ({"data": [{"id": "cus_1"}], "has_more": False}, "without the time"),
    ],
)
def test_what_is_no_page_is_refused(body: object, why: str) -> None:
    response = read_response("/v1/customers", 200, AT, write_json(body))

    with pytest.raises(UnreadablePage, match=why):
        read_page(CUSTOMERS, 0, response)


def test_a_list_without_times_needs_none() -> None:
    body = write_json({"data": [{"id": "feat_1"}], "has_more": False})

    page = read_page(FEATURES, 0, read_response("/v1/features", 200, AT, body))

    assert len(page.objects) == 1


def test_each_object_is_an_observation_of_the_second_before_the_request() -> None:
    body = write_json({"data": [CUSTOMER], "has_more": False})
    response = read_response("/v1/customers", 200, AT, body, "2026-10-28.endive")

    (shown,) = read_page(CUSTOMERS, 3, response).observations()

    assert (shown.family, shown.object_id, shown.asked_at) == ("customer", "cus_1", AT)
    assert (shown.api_version, shown.gone) == ("2026-10-28.endive", False)
    assert json.loads(shown.payload) == CUSTOMER
