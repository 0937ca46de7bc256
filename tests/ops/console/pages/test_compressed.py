import gzip

import pytest
from flask import Flask, Response
from flask.testing import FlaskClient

from ops.console.pages.compressed import compress_page

LONG = "<p>a page of many rows</p>" * 200


@pytest.fixture
def client() -> FlaskClient:
    app = Flask("console", static_folder=None)
    app.add_url_rule("/long", view_func=lambda: LONG, endpoint="long")
    app.add_url_rule("/short", view_func=lambda: "<p>short</p>", endpoint="short")
    app.add_url_rule(
        "/v1", view_func=lambda: Response(LONG, mimetype="application/json"), endpoint="api"
    )
    app.after_request(compress_page)
    return app.test_client()


def test_a_page_is_compressed_for_browsers_that_take_it(client: FlaskClient) -> None:
    packed = client.get("/long", headers={"Accept-Encoding": "br, gzip"})

    assert packed.headers["Content-Encoding"] == "gzip"
    assert packed.headers["Vary"] == "Accept-Encoding"
    assert gzip.decompress(packed.data).decode() == LONG
    assert int(packed.headers["Content-Length"]) == len(packed.data)


@pytest.mark.parametrize("takes", ["", "identity", "gzip;q=0"])
def test_others_get_it_as_it_is(client: FlaskClient, takes: str) -> None:
    assert client.get("/long", headers={"Accept-Encoding": takes}).text == LONG


@pytest.mark.parametrize("path", ["/short", "/v1"])
def test_a_short_page_and_an_answer_of_the_api_stay_as_they_are(
    client: FlaskClient, path: str
) -> None:
    response = client.get(path, headers={"Accept-Encoding": "gzip"})

    assert "Content-Encoding" not in response.headers
