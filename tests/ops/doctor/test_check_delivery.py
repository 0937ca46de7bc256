"""A saved delivery is tried against each secret, and the reason of a refusal is named."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from ops.doctor.check_delivery import SavedDelivery, check_delivery
from ops.doctor.findings import Finding, State
from ops.send.delivery import sign
from runtime.settings import Settings

NOW = datetime(2026, 11, 28, 18, 0, tzinfo=UTC)
AT = int(NOW.timestamp())
SECRET = "whsec_" + "5f3a" * 8
OTHER = "whsec_" + "0b1c" * 8
EVENT = {
    "id": "evt_1",
    "object": "event",
    "type": "customer.created",
    "created": AT,
    "data": {"object": {"id": "cus_1", "object": "customer", "name": "Zo\u00eb <zoe@example.com>"}},
    "livemode": False,
    "url": "https://example.com/a&b",
}
BODY = json.dumps(EVENT, indent=2, ensure_ascii=False).encode()
"""As Stripe writes it: two spaces, UTF-8."""


def tried(
    body: bytes, header: str, *, secrets: str = f"{SECRET},{OTHER}", now: datetime = NOW
) -> dict[str, Finding]:
    settings = Settings.from_env({"STRIPE_WEBHOOK_SECRET": secrets})
    found = list(check_delivery(SavedDelivery(body=body, header=header), settings, now=now))
    for finding in found:
        for secret in (SECRET, OTHER):
            assert secret.removeprefix("whsec_") not in finding.says
    return {finding.check: finding for finding in found}


def header(body: bytes = BODY, secret: str = SECRET, at: int = AT) -> str:
    return sign(body, secret, at)


def cause(body: bytes, given: str, *, secrets: str = f"{SECRET},{OTHER}") -> str:
    found = tried(body, given, secrets=secrets)
    assert found["signature"].state is State.PROBLEM
    return found["signature"].says


@pytest.mark.parametrize("written", ["{}", "Stripe-Signature: {}", "'{}'", "stripe-signature:{} "])
def test_a_good_delivery_names_its_secret_and_its_event(written: str) -> None:
    found = tried(BODY, written.format(header(secret=OTHER)))

    assert {finding.state for finding in found.values()} == {State.OK}
    assert found["secret 1 of 2"].says.startswith("did not sign it")
    assert found["secret 2 of 2"].says.startswith("signed this body")
    assert found["body"].says == "is event evt_1, customer.created"


def test_the_secret_of_another_endpoint_is_the_last_explanation() -> None:
    found = tried(BODY, header(secret="whsec_of_another_endpoint"))

    assert found["secret 1 of 2"].state is found["secret 2 of 2"].state is State.PROBLEM
    assert "each endpoint has its own" in found["signature"].says


@pytest.mark.parametrize(
    ("changed", "change"),
    [
        (BODY + b"\n", "a line break was added at its end"),
        (BODY + b"\r\n", "a line break was added at its end"),
        (BODY.replace(b"\n", b"\r\n"), "its line breaks became CRLF"),
        (BODY.replace(b"\n", b"\r\n") + b"\r\n", "its line breaks became CRLF"),
        (b"\xef\xbb\xbf" + BODY, "byte order mark"),
        ((BODY.decode() + "\r\n").encode("utf-16"), "UTF-16"),
        (BODY.decode("cp1252").encode(), "Latin-1"),
        (b"  " + BODY + b"  ", "white space around it"),
        (json.dumps(EVENT).encode(), "its JSON was parsed and written again"),
        (json.dumps(EVENT, separators=(",", ":")).encode(), "its JSON was parsed and written"),
        (json.dumps(EVENT, indent=4, ensure_ascii=False).encode(), "its JSON was parsed and"),
    ],
)
def test_a_body_that_was_changed_on_its_way_is_no_wrong_secret(changed: bytes, change: str) -> None:
    says = cause(changed, header())

    assert says.startswith("made with secret 1, but the body has changed since: ")
    assert change in says


@pytest.mark.parametrize(
    "signed",
    [
        BODY + b"\n",
        json.dumps(EVENT).encode(),
        json.dumps(EVENT, separators=(",", ":"), ensure_ascii=False).encode(),
        json.dumps(EVENT, indent=2).replace("/", "\\/").encode(),
        json.dumps(EVENT, separators=(",", ":"), ensure_ascii=False)
        .replace("<", "\\u003c")
        .replace(">", "\\u003e")
        .replace("&", "\\u0026")
        .encode(),
    ],
)
def test_whatever_form_was_signed_a_reformatted_body_is_recognised(signed: bytes) -> None:
    assert "the body has changed since" in cause(BODY, header(signed, OTHER))


def test_a_body_with_another_word_in_it_is_not_explained_away() -> None:
    assert "made with none" in cause(BODY.replace(b"cus_1", b"cus_2"), header())


def test_a_secret_that_lost_its_beginning_is_named() -> None:
    cut = SECRET.removeprefix("whsec_")

    assert "put whsec_ before it" in cause(BODY, header(), secrets=cut)
    assert "correct the program that signs" in cause(BODY, header(secret=cut), secrets=SECRET)


@pytest.mark.parametrize(
    ("given", "word"),
    [
        ("", "header is missing"),
        (f"t={AT}", "no v1 signature"),
        ("v1=abc", "exactly one t"),
        (f"t={AT},v0={'a' * 64}", "has v0 alone"),
        (header().partition("v1=")[2], "no v1 signature"),
    ],
)
def test_a_header_that_cannot_be_read_says_what_it_lacks(given: str, word: str) -> None:
    assert word in cause(BODY, given)


def test_a_delivery_that_was_saved_a_while_ago_is_right_but_too_old_now() -> None:
    found = tried(BODY, header(), now=NOW + timedelta(hours=3))

    assert found["secret 1 of 2"].state is State.OK
    assert found["timestamp"].state is State.WARNING
    assert "ingest answers 403 to it now" in found["timestamp"].says
    assert "300 s are allowed" in found["timestamp"].says


def test_a_signature_from_the_future_is_a_wrong_clock() -> None:
    found = tried(BODY, header(at=AT + 4000))

    assert found["timestamp"].state is State.PROBLEM
    assert "clock is behind" in found["timestamp"].says


def test_a_time_that_no_calendar_has_is_no_error() -> None:
    assert tried(BODY, header(at=10**17))["timestamp"].state is State.PROBLEM


def test_a_signed_body_that_is_no_event_is_named() -> None:
    body = BODY.replace(b'"created"', b'"creation"')

    found = tried(body, header(body))

    assert found["body"].state is State.PROBLEM
    assert "created is missing" in found["body"].says


def test_without_a_secret_and_with_a_body_too_large_both_are_said() -> None:
    found = tried(b"x" * 2_000_000, header(), secrets="")

    assert "PAIDUP_MAX_BODY_BYTES" in found["body"].says
    assert "is not set" in found["signature"].says


@pytest.mark.parametrize("body", [b"", b"\xff\xfe", b"[" * 100_000, b"\xff", b"\x00"])
def test_no_body_makes_it_fail(body: bytes) -> None:
    assert tried(body, header())["signature"].state is State.PROBLEM
