"""A route that needs an idempotency key: what it takes, and how it says what is wrong."""

import json

import pytest
from flask import Response, request
from werkzeug.test import TestResponse

from ops.console.idempotency_keys import declining_key, required_key
from ops.console_tokens import Role, Token, generate_token
from runtime.idempotency import InFlight, KeyReused
from tests.ops.console.console_client import Console

WRITES = generate_token("support", Role.OPERATOR)


class KeyedConsole(Console):
    """A console with one route that wants a key; it fails with ``error``, else shows the key."""

    error: Exception | None = None

    def __post_init__(self) -> None:
        super().__post_init__()

        @self.app.post("/v1/keyed")
        def write() -> Response:
            return self.admission.serve(request, self.write_once, role=Role.OPERATOR)

    def write_once(self, _: Token) -> Response:
        key = required_key(request)
        with declining_key():
            if self.error:
                raise self.error
        return Response(key)

    def post(self, **headers: str) -> TestResponse:
        return self.client.post(
            "/v1/keyed", headers={"Authorization": f"Bearer {WRITES.token}", **headers}
        )


@pytest.fixture
def console() -> KeyedConsole:
    return KeyedConsole(tokens=WRITES.entry)


def problem(response: TestResponse) -> tuple[int, str]:
    document = json.loads(response.data)
    assert response.mimetype == "application/problem+json"
    assert document["status"] == response.status_code
    return response.status_code, document["type"].removeprefix("urn:paidup:problem:")


@pytest.mark.parametrize("header", ["8e03978e", '"8e03978e"'])
def test_a_key_comes_bare_or_in_quotes(console: KeyedConsole, header: str) -> None:
    assert console.post(**{"Idempotency-Key": header}).text == "8e03978e"


def test_a_request_without_a_key_is_refused(console: KeyedConsole) -> None:
    assert problem(console.post()) == (400, "idempotency-key-missing")


@pytest.mark.parametrize("header", ["", '""', "two words", "x" * 256])
def test_a_header_that_is_no_key_is_refused_with_what_a_key_is(
    console: KeyedConsole, header: str
) -> None:
    response = console.post(**{"Idempotency-Key": header})

    assert problem(response) == (400, "idempotency-key-invalid")
    assert "1 to 255 visible ASCII characters" in response.text


def test_a_key_whose_first_request_is_not_over_may_be_tried_again_soon(
    console: KeyedConsole,
) -> None:
    console.error = InFlight("grants.add", "k")

    response = console.post(**{"Idempotency-Key": "k"})

    assert problem(response) == (409, "idempotency-key-in-flight")
    assert int(response.headers["Retry-After"]) > 0


def test_a_key_of_another_request_is_refused(console: KeyedConsole) -> None:
    console.error = KeyReused("grants.add", "k")

    assert problem(console.post(**{"Idempotency-Key": "k"})) == (422, "idempotency-key-reused")
