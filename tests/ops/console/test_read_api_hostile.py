"""No request causes a server error, and none is answered without a token."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from werkzeug.test import EnvironBuilder

from tests.ops.console.console_client import TOKEN, Console

latin1 = st.text(st.characters(max_codepoint=255, exclude_characters="\r\n"))
paths = st.sampled_from(["/openapi.json", "/readyz", "/", "/v1/entitlements"]) | latin1.map(
    "/".__add__
)
users = latin1.map("/v1/users/{}/entitlements".format)
queries = st.lists(
    st.tuples(st.sampled_from(["user_id", "customer", "after", "limit"]), latin1).map("=".join)
).map("&".join)
hostile = st.fixed_dictionaries(
    {
        "REQUEST_METHOD": st.sampled_from(["GET", "HEAD", "POST", "get", "\x00"]) | latin1,
        "PATH_INFO": users | paths | st.just("/v1/changes"),
        "QUERY_STRING": latin1 | queries,
    },
    optional={
        "HTTP_AUTHORIZATION": st.sampled_from([f"Bearer {TOKEN}", "Bearer"]) | latin1,
        "HTTP_IF_NONE_MATCH": st.sampled_from(["*", '"', 'W/"']) | latin1,
        "CONTENT_LENGTH": st.sampled_from(["0", "-1", "9" * 30, "abc"]),
        "HTTP_HOST": latin1,
        "HTTP_RANGE": latin1,
    },
)


@pytest.fixture(scope="module")
def console() -> Console:
    return Console(rate=1_000_000)


@given(hostile)
def test_no_request_is_a_server_error_and_none_tells_without_a_token(
    console: Console, sent: dict[str, str]
) -> None:
    console.entitlements.known = None
    answered: list[str] = []

    def start(status: str, _headers: object, _fault: object = None) -> Any:
        answered.append(status)

    body = b"".join(console.app.wsgi_app(EnvironBuilder().get_environ() | sent, start))

    assert int(answered[-1].split()[0]) < 500
    assert b"signals_enabled" not in body or sent.get("HTTP_AUTHORIZATION", "").endswith(TOKEN)
