import json
from typing import Any

import pytest

from billing.envelope import parse
from billing.fetching.plan import observations_in
from billing.fetching.record import FetchRecord, FetchTarget, read_response
from billing.readers.search_terms import (
    Named,
    Term,
    email_term,
    is_stripe_id,
    named_in,
    terms_in,
    word_term,
)
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
    assert terms_in(envelope({"id": "in_1", **stated})) == {("email", "ada@example.com")}


@pytest.mark.parametrize("value", [None, "", "ada", "@", "ada@", "@example.com", 7, ["a@b"]])
def test_what_is_no_address_is_no_term(value: Any) -> None:
    assert terms_in(envelope({"id": "in_1", "email": value})) == frozenset()


@pytest.mark.parametrize(
    "stated",
    [
        {"object": "customer", "name": " Ada  LOVELACE"},
        {"object": "customer", "individual_name": "Ada Lovelace", "name": None},
        {"object": "invoice", "customer_name": "Ada Lovelace"},
        {"object": "checkout.session", "customer_details": {"name": "ada lovelace"}},
        {"object": "charge", "billing_details": {"name": "Ada Lovelace"}, "shipping": None},
        {"object": "payment_intent", "shipping": {"name": "Ada\u00a0Lovelace"}},
    ],
)
def test_a_name_is_read_from_every_place_of_a_person(stated: Any) -> None:
    assert terms_in(envelope({"id": "in_1", **stated})) == {("name", "ada lovelace")}


def test_the_name_of_a_thing_and_a_name_without_bounds_are_no_terms() -> None:
    assert terms_in(envelope({"object": "product", "name": "Premium"})) == frozenset()
    for name in ("", "A", " \t ", "a" * 101, 7, ["Ada"]):
        assert terms_in(envelope({"object": "customer", "name": name})) == frozenset()
    longest = terms_in(envelope({"object": "customer", "name": "A" * 100}))
    assert longest == {("name", "a" * 100)}
    assert terms_in(envelope({"object": "customer", "name": "Al"})) == {("name", "al")}


def test_metadata_is_read_by_its_values_as_far_as_a_person_would_search_for_them() -> None:
    metadata = {
        "order": "Order 7781",
        "short": "42",
        "long": "x" * 101,
        "flag": "true",
        "user_id": "usr_1",
        "client_reference_id": "usr_1",
        "plan_code": "premium",
        "price": "price_premium",
        "subscription": "sub_1",
        "link": "https://example.com/a",
        "document": '{"a": 1}',
        "number": 7781,
        "nul": "a\u0000b",
        "note": "y" * 100,
        "size": "300",
    }

    terms = terms_in(envelope({"id": "in_1", "object": "invoice", "metadata": metadata}))

    texts = {"order 7781", "a\ufffdb", "y" * 100, "300"}
    assert terms == {("metadata", text) for text in texts}


def test_of_much_metadata_the_first_ten_values_are_read() -> None:
    metadata = {f"key_{number:02}": f"value {number}" for number in range(50, 0, -1)}

    terms = terms_in(envelope({"id": "in_1", "metadata": metadata}))

    assert terms == {Term("metadata", f"value {number}") for number in range(1, 11)}


def test_the_address_of_a_fetched_object_counts() -> None:
    targets = tuple(FetchTarget(family="customer", stripe_id=each) for each in ("cus_1", "cus_2"))
    fetched = (
        FetchRecord(targets=targets)
        .with_response(read_response("/v1/customers/cus_1", 200, at(0), '{"email": "D@E.f"}'))
        .with_response(read_response("/v1/customers/cus_2", 404, at(0), "{}"))
    )
    observed = observations_in(fetched)

    terms = terms_in(envelope({"id": "in_1", "email": "a@b.c"}), observed)
    assert {text for _, text in terms} == {"a@b.c", "d@e.f"}


@pytest.mark.parametrize(
    "text", ["cus_1Abc", "sub_1", "pi_3X_secret", "in_1", "cs_test_a1", "cn_1"]
)
def test_an_id_of_stripe_has_its_prefix(text: str) -> None:
    assert is_stripe_id(text)


@pytest.mark.parametrize("text", ["usr_1", "evt_1", "cus_", "cus_1 ", "CUS_1", "1", "cus_\u00e9"])
def test_anything_else_is_none(text: str) -> None:
    assert not is_stripe_id(text)


def test_everything_is_read_from_an_event_that_no_reader_understands() -> None:
    stated = {
        "id": "in_1",
        "customer": {
            "id": "cus_1",
            "object": "customer",
            "email": "Ada@example.com",
            "name": "Ada",
        },
        "customer_details": [{"name": "Ada L."}, None],
        "metadata": {"user_id": "Usr_1", "order": "in_2", "number": "No 7"},
        "lines": {"data": [{"subscription": "sub_1", "note": "in_ a line"}, ["cs_1"], 5, None]},
        "client_reference_id": "nul\u0000",
        "receipt_email": "none",
    }

    assert named_in(envelope(stated)) == Named(
        ids=frozenset({"in_1", "in_2", "cus_1", "sub_1", "cs_1"}),
        users=frozenset({"Usr_1", "nul\ufffd"}),
        emails=frozenset({"ada@example.com"}),
        names=frozenset({"ada", "ada l."}),
        metadata=frozenset({"no 7"}),
    )


def test_of_very_many_names_a_bounded_number_is_read() -> None:
    named = named_in(envelope({"id": "in_1", "lines": [f"sub_{number}" for number in range(600)]}))

    assert len(named.ids) == 500


def test_a_text_is_an_address_if_something_stands_on_both_sides() -> None:
    assert email_term(" Ada@Example.com ") == "ada@example.com"
    assert email_term("a@b") == "a@b"
    assert email_term("usr_1") is None


def test_a_word_is_compared_in_lower_case_without_spaces_too_many() -> None:
    assert word_term(" Ada \t Lovelace\n") == "ada lovelace"


def test_a_user_is_read_however_many_ids_come_before() -> None:
    items = [f"si_{number}" for number in range(600)]
    stated = {"items": items, "metadata": {"user_id": "usr_1"}, "receipt_email": "a@b.c"}

    named = named_in(envelope(stated))

    assert len(named.ids) == 500
    assert (named.users, named.emails) == (frozenset({"usr_1"}), frozenset({"a@b.c"}))
