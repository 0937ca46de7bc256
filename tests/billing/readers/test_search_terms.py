import json
from typing import Any

import pytest

from billing.envelope import parse
from billing.fetching.record import FetchRecord, FetchTarget, read_response
from billing.readers.search_terms import Named, email_term, emails_in, is_stripe_id, named_in
from tests.billing.fact_builders import at


def envelope(stated: Any) -> Any:
    event = {"id": "evt_1", "object": "event", "type": "invoice.paid", "created": 1_700_000_000}
    return parse(json.dumps({**event, "livemode": False, "data": {"object": stated}}).encode())


@pytest.mark.parametrize(
    "stated",
    [
        {"email": "Ada@Example.com"},
        {"customer_email": "ada@example.com "},
        {"receipt_email": "ada@example.com"},
        {"customer_details": {"email": "ada@example.com"}},
        {"billing_details": {"email": "ADA@EXAMPLE.COM"}, "email": "ada@example.com"},
    ],
)
def test_an_address_is_read_from_every_place_in_lower_case(stated: Any) -> None:
    assert emails_in(envelope({"id": "in_1", **stated})) == {"ada@example.com"}


@pytest.mark.parametrize("value", [None, "", "ada", "@", "ada@", "@example.com", 7, ["a@b"]])
def test_what_is_no_address_is_no_term(value: Any) -> None:
    assert emails_in(envelope({"id": "in_1", "email": value})) == frozenset()


def test_the_address_of_a_fetched_object_counts() -> None:
    targets = tuple(FetchTarget(family="customer", stripe_id=each) for each in ("cus_1", "cus_2"))
    fetched = (
        FetchRecord(targets=targets)
        .with_response(read_response("/v1/customers/cus_1", 200, at(0), '{"email": "D@E.f"}'))
        .with_response(read_response("/v1/customers/cus_2", 404, at(0), "{}"))
    )

    assert emails_in(envelope({"id": "in_1", "email": "a@b.c"}), fetched) == {"a@b.c", "d@e.f"}


@pytest.mark.parametrize("text", ["cus_1Abc", "sub_1", "pi_3X_secret", "in_1", "cs_test_a1"])
def test_an_id_of_stripe_has_its_prefix(text: str) -> None:
    assert is_stripe_id(text)


@pytest.mark.parametrize("text", ["usr_1", "evt_1", "cus_", "cus_1 ", "CUS_1", "1", "cus_\u00e9"])
def test_anything_else_is_none(text: str) -> None:
    assert not is_stripe_id(text)


def test_everything_is_read_from_an_event_that_no_reader_understands() -> None:
    stated = {
        "id": "in_1",
        "customer": {"id": "cus_1", "email": "Ada@example.com"},
        "metadata": {"user_id": "Usr_1", "order": "in_2"},
        "lines": {"data": [{"subscription": "sub_1", "note": "in_ a line"}, ["cs_1"], 5, None]},
        "client_reference_id": "nul\u0000",
        "receipt_email": "none",
    }

    assert named_in(envelope(stated)) == Named(
        ids=frozenset({"in_1", "in_2", "cus_1", "sub_1", "cs_1"}),
        users=frozenset({"Usr_1", "nul\ufffd"}),
        emails=frozenset({"ada@example.com"}),
    )


def test_of_very_many_names_a_bounded_number_is_read() -> None:
    named = named_in(envelope({"id": "in_1", "lines": [f"sub_{number}" for number in range(600)]}))

    assert len(named.ids) == 500


def test_a_text_is_an_address_if_something_stands_on_both_sides() -> None:
    assert email_term(" Ada@Example.com ") == "ada@example.com"
    assert email_term("usr_1") is None


def test_a_user_is_read_however_many_ids_come_before() -> None:
    items = [f"si_{number}" for number in range(600)]
    stated = {"items": items, "metadata": {"user_id": "usr_1"}, "receipt_email": "a@b.c"}

    named = named_in(envelope(stated))

    assert len(named.ids) == 500
    assert (named.users, named.emails) == (frozenset({"usr_1"}), frozenset({"a@b.c"}))
