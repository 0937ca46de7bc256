"""A route that writes, as another module would add it: who may use it, and as whom."""

import json

import pytest
from flask import Response, request
from structlog.testing import capture_logs
from werkzeug.test import TestResponse

from ops.console_tokens import Role, Token, generate_token
from tests.ops.console.console_client import Console

READS = generate_token("dashboard")
WRITES = generate_token("support", Role.OPERATOR)


class WritingConsole(Console):
    """A console with one route that writes, and what it wrote."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.written: list[str] = []

        @self.app.post("/v1/written")
        def write() -> Response:
            return self.admission.serve(request, self.write_as, role=Role.OPERATOR)

    def write_as(self, token: Token) -> Response:
        self.written.append(token.name)
        return Response("{}", 201, mimetype="application/json")

    def post(self, token: str) -> TestResponse:
        headers = {"Authorization": f"Bearer {token}"}
        return self.client.post("/v1/written", headers=headers)


@pytest.fixture
def console() -> WritingConsole:
    return WritingConsole(tokens=f"plain,{READS.entry},{WRITES.entry}")


def test_an_operator_writes_under_the_name_of_its_token(console: WritingConsole) -> None:
    response = console.post(WRITES.token)

    assert response.status_code == 201
    assert response.headers["Cache-Control"] == "private, no-cache"
    assert console.written == ["support"]


@pytest.mark.parametrize("token", [READS.token, "plain"], ids=["hashed", "plain"])
def test_a_reader_never_writes(console: WritingConsole, token: str) -> None:
    response = console.post(token)

    document = json.loads(response.data)
    assert response.status_code == document["status"] == 403
    assert response.mimetype == "application/problem+json"
    assert document["type"] == "urn:paidup:problem:forbidden"
    assert document["detail"] == (
        "This token has the role reader, and this path needs the role operator."
    )
    assert 'error="insufficient_scope"' in response.headers["WWW-Authenticate"]
    assert console.written == []
    assert console.reads() == {"forbidden": 1}


def test_an_operator_reads_as_well(console: WritingConsole) -> None:
    assert console.read(token=WRITES.token).status_code == 200


def test_a_stranger_is_asked_for_a_token_before_its_role_matters(console: WritingConsole) -> None:
    assert console.post("wrong").status_code == 401
    assert console.written == []


def test_a_reader_that_keeps_trying_is_limited_like_all_others() -> None:
    console = WritingConsole(tokens=READS.entry, rate=2)

    assert [console.post(READS.token).status_code for _ in range(3)] == [403, 403, 429]


def test_the_log_names_the_token_that_was_forbidden_and_does_not_show_it(
    console: WritingConsole,
) -> None:
    with capture_logs() as logged:
        console.post(READS.token)

    [line] = logged
    assert (line["reason"], line["status"]) == ("dashboard", 403)
    assert READS.token not in str(line)
