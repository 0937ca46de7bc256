"""Arbitrary requests are refused without a 5xx while Redis is reachable."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from werkzeug.test import EnvironBuilder

from tests.fakes import SECRET
from tests.ingest.ingest_client import SIGNED_AT, IngestClient, event, sign

latin1 = st.text(st.characters(max_codepoint=255, exclude_characters="\r\n"))
methods = st.sampled_from(["POST", "GET", "post", "OPTIONS", "HEAD", "TRACE", "\x00"]) | latin1
paths = st.sampled_from(["/webhooks/stripe", "/readyz", "/metrics"]) | latin1.map("/".__add__)
kinds = st.sampled_from(["application/json", "", "text/plain", "application/json;"]) | latin1
stamps = st.sampled_from([str(SIGNED_AT), "0", "9" * 400]) | latin1
signatures = st.builds("t={},v1={}".format, stamps, latin1) | latin1
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@pytest.fixture(scope="module")
def ingest() -> IngestClient:
    return IngestClient()


def _answer(ingest: IngestClient, environ: dict[str, Any]) -> int:
    started: list[str] = []

    def start(status: str, _headers: object, _fault: object = None) -> Any:
        started.append(status)

    b"".join(ingest.app.wsgi_app(environ, start))
    return int(started[-1].split()[0])


hostile = st.fixed_dictionaries(
    {
        "REQUEST_METHOD": methods,
        "PATH_INFO": paths,
        "QUERY_STRING": latin1,
        "CONTENT_TYPE": kinds,
        "HTTP_STRIPE_SIGNATURE": signatures,
    },
    optional={
        "CONTENT_LENGTH": st.sampled_from(["0", "-1", "9" * 30, "abc", "5"]),
        "HTTP_X_FORWARDED_FOR": latin1,
        "HTTP_HOST": latin1,
        "HTTP_TRANSFER_ENCODING": latin1,
        "HTTP_CONTENT_ENCODING": latin1,
    },
)


@given(hostile, st.binary())
def test_no_request_is_a_server_error(
    ingest: IngestClient, sent: dict[str, str], body: bytes
) -> None:
    environ = EnvironBuilder(data=body).get_environ() | {"wsgi.input_terminated": True}

    assert _answer(ingest, environ | sent) < 500


@given(anything)
def test_no_signed_document_is_a_server_error(ingest: IngestClient, document: Any) -> None:
    body = event(data={"object": document}, account=document)

    assert ingest.post(body, sign(body, secret=SECRET)).status_code in {200, 202, 400}


@given(st.text())
def test_no_signed_text_is_a_server_error(ingest: IngestClient, text: str) -> None:
    body = text.encode("utf-8", "replace")

    assert ingest.post(body, sign(body, secret=SECRET)).status_code in {202, 400}
