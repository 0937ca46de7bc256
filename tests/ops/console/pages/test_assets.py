import gzip

import pytest
from flask import Flask
from flask.testing import FlaskClient

from ops.console.pages.assets import Asset, asset_routes, load_assets

MAX_SCRIPT_BYTES = 20_000
MAX_STYLE_BYTES = 15_000


@pytest.fixture
def client() -> FlaskClient:
    app = Flask("console", static_folder=None)
    app.register_blueprint(asset_routes(load_assets()))
    return app.test_client()


def asset(name: str) -> Asset:
    return load_assets()[name]


def test_the_scripts_together_are_small() -> None:
    assert len(asset("htmx.min.js").gzipped) + len(asset("console.js").gzipped) < MAX_SCRIPT_BYTES


def test_the_style_is_small() -> None:
    assert len(asset("console.css").gzipped) < MAX_STYLE_BYTES


@pytest.mark.parametrize("name", list(load_assets()))
def test_no_asset_names_another_host(name: str) -> None:
    text = asset(name).body.decode().replace("http://www.w3.org/2000/svg", "")

    assert "http://" not in text
    assert "https://" not in text


def test_no_script_of_ours_evaluates_text() -> None:
    script = asset("console.js").body.decode()

    assert not any(word in script for word in ("eval(", "Function(", "innerHTML", "document.write"))


def test_a_versioned_asset_is_kept_for_good(client: FlaskClient) -> None:
    version = asset("console.css").version

    response = client.get(f"/assets/console.css?v={version}")

    assert "immutable" in response.headers["Cache-Control"]
    assert response.mimetype == "text/css"


def test_an_asset_of_another_release_is_not_kept(client: FlaskClient) -> None:
    assert client.get("/assets/console.css?v=1").headers["Cache-Control"] == "no-cache"


def test_an_asset_is_compressed_for_those_who_take_it(client: FlaskClient) -> None:
    plain = client.get("/assets/console.js")
    packed = client.get("/assets/console.js", headers={"Accept-Encoding": "gzip"})

    assert packed.headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(packed.data) == plain.data


def test_no_other_file_is_served(client: FlaskClient) -> None:
    for name in ("htmx.LICENSE", "..%2fapp.py", "../app.py"):
        assert client.get(f"/assets/{name}").status_code == 404
