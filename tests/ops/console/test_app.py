import re

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator, validate

from billing.facts import API_OBSERVATION, is_observation
from tests.ops.console.console_client import Console, conforms, description


@pytest.fixture
def console() -> Console:
    return Console()


def test_the_description_is_a_valid_openapi_document() -> None:
    validate(description(), cls=OpenAPIV31SpecValidator)


def test_the_description_says_that_what_the_api_showed_may_decide() -> None:
    because = description()["components"]["schemas"]["Grant"]["properties"]["because"]
    event_id, kind = (because["properties"][name] for name in ("event_id", "type"))

    assert any(is_observation(example) for example in event_id["examples"])
    assert API_OBSERVATION in kind["examples"]


def test_the_description_is_served_without_a_token(console: Console) -> None:
    response = console.client.get("/openapi.json")

    assert response.get_json() == description()
    assert conforms(response, "/openapi.json")


def test_every_route_but_those_of_pages_is_described(console: Console) -> None:
    pages = {"assets", "login", "overview", "search"}
    routes = {
        re.sub(r"<(?:user_id:)?(\w+)>", r"{\1}", rule.rule)
        for rule in console.app.url_map.iter_rules()
        if rule.endpoint.partition(".")[0] not in pages
    }

    assert routes == set(description()["paths"])


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics"])
def test_machines_need_no_token_and_get_what_is_described(console: Console, path: str) -> None:
    response = console.client.get(path)

    assert response.status_code == 200
    assert conforms(response, path)


def test_not_ready_says_why(console: Console) -> None:
    console.probe.reasons = ("run `paidup migrate`",)
    console.breaker.check()

    response = console.client.get("/readyz")

    assert response.status_code == 503
    assert conforms(response, "/readyz")
    assert response.get_json()["unsafe"] == ["run `paidup migrate`"]
    assert console.client.get("/healthz").status_code == 200


def test_every_result_is_counted_from_0_on(console: Console) -> None:
    scrape = console.client.get("/metrics").text.splitlines()

    for result in (
        "found",
        "unchanged",
        "unknown",
        "invalid",
        "unauthorized",
        "forbidden",
        "limited",
    ):
        assert f'billing_reads_total{{result="{result}"}} 0.0' in scrape
    assert 'billing_console_token_last_used_timestamp_seconds{token="token-1"} 0.0' in scrape


def test_a_browser_at_an_unknown_path_gets_a_page_that_is_as_protected_as_any(
    console: Console,
) -> None:
    response = console.client.get("/nothing", headers={"Accept": "text/html,*/*;q=0.8"})

    assert response.status_code == 404
    assert "<h1>Nothing is here</h1>" in response.text
    assert response.headers["Content-Security-Policy"].startswith("default-src 'none'")
    assert response.headers["X-Frame-Options"] == "DENY"


@pytest.mark.parametrize(
    "path",
    [
        "/v1",
        "/v1/users",
        "/v1/users//entitlements",
        "/v1/users/u",
        "/v1/users/u/entitlements/",
        "/v1//users/u/entitlements",
        "/%ff",
    ],
)
def test_any_other_path_is_a_problem(console: Console, path: str) -> None:
    response = console.client.get("/", environ_overrides={"PATH_INFO": path})

    assert response.status_code == 404
    assert response.get_json()["type"] == "urn:paidup:problem:not-found"


@pytest.mark.parametrize(
    ("encoded", "user_id"),
    [
        ("usr_1", "usr_1"),
        ("a%2Fb", "a/b"),
        ("a/b", "a/b"),
        ("%2F%2Fa%2F", "//a/"),
        ("..%2F..%2Fetc", "../../etc"),
        ("u/entitlements", "u/entitlements"),
        ("line%0Abreak", "line\nbreak"),
        ("nul%00", "nul\0"),
        ("Zo%C3%AB%20%F0%9F%98%80", "Zo\u00eb \U0001f600"),
        ("%FF", "\ufffd"),
        ("%25", "%"),
        ("a+b@c.d;e=f?".replace("?", "%3F"), "a+b@c.d;e=f?"),
        ("x" * 10_000, "x" * 10_000),
    ],
    ids=range(13),
)
def test_a_user_id_may_hold_anything(console: Console, encoded: str, user_id: str) -> None:
    console.entitlements.known = None

    response = console.read(encoded)

    assert response.status_code == 200
    assert console.entitlements.asked == [user_id]
