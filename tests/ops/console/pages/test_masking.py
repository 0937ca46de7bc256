import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ops.console.pages.masking import MASK, MOST_CHARACTERS, ShownPayload, show_payload

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


def text_of(shown: ShownPayload) -> str:
    return "".join(piece.text for piece in shown.pieces)


def masked(value: Any, *, personal: bool = False) -> Any:
    """Return the payload as it is shown, parsed; a masked number becomes a text."""
    text = text_of(show_payload(json.dumps(value).encode(), personal=personal))
    return json.loads(text.replace(f" {MASK}", f' "{MASK}"'))


@given(JSON)
def test_unmasked_it_is_the_payload_itself(value: Any) -> None:
    shown = show_payload(json.dumps(value).encode(), personal=True)

    # A text may look like a client secret, which nobody sees.
    assert shown.masked or json.loads(text_of(shown)) == value


@given(st.text(min_size=1), st.sampled_from(["name", "email", "phone", "description", "last4"]))
def test_no_text_in_a_personal_field_is_shown(text: str, name: str) -> None:
    assert masked({"object": "charge", "deep": [{name: text}]}) == {
        "object": "charge",
        "deep": [{name: MASK}],
    }


PERSONAL: list[dict[str, Any]] = [
    {"email": "ada@example.com"},
    {"customer_email": "ada"},
    {"name": "ada"},
    {"customer_name": "Ada Lovelace"},
    {"individual_name": "ada"},
    {"phone": "+44 20 7946 0000"},
    {"ip": "203.0.113.7"},
    {"ip_address": "203.0.113.7"},
    {"client_ip": "2001:db8::7"},
    {"user_agent": "mozilla"},
    {"last4": "4242"},
    {"dynamic_last4": "4242"},
    {"fingerprint": "Zq8vK3tLw0PdYb5n"},
    {"exp_month": 4},
    {"exp_year": 2031},
    {"description": "for ada"},
    {"comment": "expensive"},
    {"iban_last4": "3000"},
    {"account_number": "000123"},
    {"receipt_url": "https://pay.stripe.com/receipts/1"},
    {"hosted_invoice_url": "https://invoice.stripe.com/i/1"},
    {"a_field_of_tomorrow": "Ada Lovelace, 12 Square"},
    {"another": "ada@example.com"},
    {"client_reference_id": "ada@example.com"},
    {"a_number_as_text": "00123456"},
]


@pytest.mark.parametrize("field", PERSONAL, ids=str)
def test_personal_data_is_masked(field: dict[str, Any]) -> None:
    assert masked({"object": "charge", **field}) == {
        "object": "charge",
        **dict.fromkeys(field, MASK),
    }


@pytest.mark.parametrize(
    "name",
    [
        "address",
        "billing_details",
        "custom_fields",
        "customer_address",
        "customer_details",
        "customer_shipping",
        "customer_tax_ids",
        "evidence",
        "owner",
        "shipping",
        "shipping_details",
    ],
)
def test_everything_inside_personal_data_is_masked(name: str) -> None:
    inside = {"value": "de", "parts": ["berlin", 10115], "verified": True, "none": None}

    assert masked({name: inside}) == {
        name: {"value": MASK, "parts": [MASK, MASK], "verified": True, "none": None}
    }


def test_metadata_is_masked_but_for_what_paidup_reads() -> None:
    given = {"user_id": "usr_1", "plan_code": "premium", "price_id": "price_1", "note": "ada"}

    assert masked({"metadata": given}) == {"metadata": {**given, "note": MASK}}


def test_a_user_id_in_metadata_that_is_an_address_is_masked() -> None:
    assert masked({"metadata": {"user_id": "ada@example.com"}}) == {"metadata": {"user_id": MASK}}


KEPT: list[dict[str, Any]] = [
    {"id": "evt_1AbcDEF"},
    {"customer": "cus_Nx8"},
    {"type": "customer.subscription.updated"},
    {"status": "past_due"},
    {"amount": 1999},
    {"amount_shipping": 500},
    {"shipping_cost": {"amount_total": 500, "shipping_rate": "shr_1"}},
    {"unit_amount_decimal": "1999.5"},
    {"created": 1_800_000_000},
    {"currency": "eur"},
    {"api_version": "2025-09-30.clover"},
    {"idempotency_key": "6f6ea0ff-2d53-4a5c-8f0b-1c8d63c6ae01"},
    {"card": {"brand": "visa", "country": "DE"}},
    {"address_postal_code_check": "pass"},
    {"seller_message": "Payment complete."},
    {"object": "invoice", "number": "A1B2-0001"},
    {"object": "product", "name": "Premium for all"},
    {"object": "price", "nickname": "Premium monthly"},
    {"client_reference_id": "usr/1"},
    {"livemode": False, "canceled_at": None},
]


@pytest.mark.parametrize("value", KEPT, ids=str)
def test_ids_amounts_times_and_statuses_stay(value: dict[str, Any]) -> None:
    assert masked(value) == value


def test_numbers_are_shown_as_they_were_written() -> None:
    body = (
        b'{"a": 123456789012345678901234567890, "b": 1.10, "c": 1e400, "d": ' + b"7" * 5000 + b"}"
    )

    text = text_of(show_payload(body))

    assert f'"a": {123456789012345678901234567890},' in text
    assert '"b": 1.10,' in text
    assert '"c": 1e400,' in text
    assert "7" * 5000 in text


def test_a_field_that_stands_twice_is_shown_twice() -> None:
    assert text_of(show_payload(b'{"status": "paid", "status": "void"}')).count("status") == 2


@pytest.mark.parametrize(
    "value", [{"client_secret": "pi_1_secret_2"}, {"elsewhere": "pi_1_secret_2Ab"}], ids=str
)
def test_a_client_secret_is_masked_for_all(value: dict[str, str]) -> None:
    assert masked(value, personal=True) == dict.fromkeys(value, MASK)


@pytest.mark.parametrize("body", [b"\xff\xfe{", b"name=ada", b"", b"[" * 100_000], ids=len)
def test_what_is_no_json_is_masked_as_a_whole(body: bytes) -> None:
    shown = show_payload(body)

    assert text_of(shown) == MASK
    assert not shown.readable
    assert text_of(show_payload(body, personal=True)) == body.decode("utf-8", "replace")


def test_half_a_pair_of_characters_can_be_sent_in_a_response() -> None:
    text_of(show_payload(b'{"a": "\\ud800", "\\ud800": 1}', personal=True)).encode()


def test_of_a_huge_payload_only_a_beginning_is_shown() -> None:
    body = json.dumps({"ids": [f"in_{n}" for n in range(MOST_CHARACTERS)]}).encode()

    shown = show_payload(body)

    assert not shown.whole
    assert len(text_of(shown)) <= MOST_CHARACTERS


def test_masks_are_counted() -> None:
    assert show_payload(b'{"name": "ada", "email": "a@b.c", "id": "cus_1"}').masked == 2
