"""Strangers, applications and viewers try every route; no trick with host, path or method helps."""

from contextlib import ExitStack
from urllib.parse import unquote, urlsplit

import pytest

from tests.ops.console.access.people_client import (
    HTTPS,
    OPERATOR,
    READER,
    SAME,
    VIEWER,
    PeopleConsole,
    guarded_methods,
)

pytestmark = pytest.mark.servers

HERE = "http://localhost:8001"


def test_there_are_routes_to_try(here: PeopleConsole) -> None:
    tried = guarded_methods(here.app)

    assert ("GET", "/sample") in tried
    assert ("POST", "/sample") in tried


def test_no_route_is_reached_without_a_session(here: PeopleConsole) -> None:
    for method, path in guarded_methods(here.app):
        response = here.browser().open(path, base_url=HERE, method=method, headers=SAME)
        assert response.status_code == 303, (method, path)
        assert response.location.startswith("/login"), (method, path)


@pytest.mark.parametrize("token", [READER, VIEWER, OPERATOR])
def test_a_bearer_token_reaches_no_page(here: PeopleConsole, token: str) -> None:
    headers = {**SAME, "Authorization": f"Bearer {token}"}
    for method, path in guarded_methods(here.app):
        response = here.browser().open(path, base_url=HERE, method=method, headers=headers)
        assert response.status_code == 303, (method, path)


def test_a_viewer_reads_every_page_and_writes_through_none(here: PeopleConsole) -> None:
    browser = here.log_in(VIEWER)
    for method, path in guarded_methods(here.app):
        response = browser.open(path, base_url=HERE, method=method, headers=SAME)
        if method in {"GET", "HEAD"}:
            assert response.status_code not in {401, 403}, (method, path)
            assert not response.headers.get("Location", "").startswith("/login"), (method, path)
        else:
            assert response.status_code == 403, (method, path)


def test_a_viewer_does_not_write_by_a_get_that_calls_itself_a_post(here: PeopleConsole) -> None:
    browser = here.log_in(VIEWER)
    for name in ("X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override"):
        assert here.get(browser, "/sample?_method=POST", **{name: "POST"}).text == "read by sue"


def test_the_session_of_an_operator_does_not_count_at_the_api(here: PeopleConsole) -> None:
    browser = here.log_in()

    assert here.get(browser, "/v1/users/usr_1/entitlements").status_code == 401
    assert here.get(browser, "/v1/changes").status_code == 401
    for path in ("/v1/grants", "/v1/links", "/v1/grants/grant_1/end", "/v1/links/link_1/end"):
        posted = browser.post(path, base_url=HERE, json={}, headers={"Idempotency-Key": "k"})
        assert posted.status_code == 401


def test_the_token_of_a_viewer_reads_the_api_and_does_not_write(here: PeopleConsole) -> None:
    headers = {"Authorization": f"Bearer {VIEWER}"}

    read = here.get(here.browser(), "/v1/users/usr_1/entitlements", **headers)
    written = here.browser().post(
        "/v1/grants", base_url=HERE, json={}, headers={**headers, "Idempotency-Key": "k"}
    )

    assert (read.status_code, written.status_code) == (200, 403)


CROSS_SITE = [
    {},
    {"Referer": f"{HTTPS}/sample"},
    {"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"},
    {"Sec-Fetch-Site": "same-site", "Origin": "https://other.example.com"},
    {"Sec-Fetch-Site": "cross-site", "Origin": "null"},
    {"Origin": "null"},
    {"Origin": "http://ops.example.com"},
    {"Origin": "https://ops.example.com.evil.example"},
    {"Sec-Fetch-Site": "same-origin", "Origin": "https://evil.example"},
    {"HX-Request": "true"},
    {"X-Requested-With": "XMLHttpRequest", "Origin": "https://evil.example"},
]


@pytest.mark.parametrize("headers", CROSS_SITE)
@pytest.mark.parametrize("content_type", ["application/x-www-form-urlencoded", "text/plain"])
def test_no_form_of_another_site_changes_anything(
    public: PeopleConsole, headers: dict[str, str], content_type: str
) -> None:
    browser = public.log_in()
    before = len(public.audited())

    for path in ("/sample", "/logout", "/login"):
        sent = browser.post(
            path,
            base_url=HTTPS,
            data=f"token={OPERATOR}",
            headers=headers,
            content_type=content_type,
        )
        assert sent.status_code == 403, path

    assert len(public.audited()) == before
    assert public.get(browser, "/sample").text == "read by ada"


def test_a_link_in_a_chat_opens_the_page(public: PeopleConsole) -> None:
    headers = {"Sec-Fetch-Site": "cross-site", "Referer": "https://chat.example/"}

    assert public.get(public.log_in(), "/sample", **headers).status_code == 200


@pytest.mark.parametrize(
    "host",
    ["evil.example", "localhost", "ops.example.com:1", "ops.example.com.", "ops.example.com@evil"],
)
def test_no_page_is_served_under_another_host(public: PeopleConsole, host: str) -> None:
    browser = public.log_in()

    for path in ("/sample", "/login"):
        response = browser.get(path, base_url=HTTPS, headers={"Host": host})
        assert response.status_code in {400, 421}
        assert "Location" not in response.headers
    assert public.browser().get("/healthz", headers={"Host": host}).status_code in {200, 400}


def test_a_header_about_another_host_changes_no_address(public: PeopleConsole) -> None:
    headers = {"X-Forwarded-Host": "evil.example", "X-Forwarded-Prefix": "/evil", "X-Host": "evil"}

    response = public.get(public.browser(), "/sample", **headers)

    assert response.location == "/login?next=/sample"


TRICKS = [
    "//evil.example",
    "//evil.example/sample",
    "/\\evil.example",
    "/%5cevil.example",
    "/%2f%2fevil.example",
    "/%2f../sample",
    "/..//evil.example",
    "/sample/../../evil",
    "/sample/%2e%2e%2f%2e%2e/evil",
    "/.;/sample",
    "/sample%00",
    "/sample/",
    "/sample//",
    "/paidup/..//evil.example",
    "/paidup//evil.example",
    "/login/%0d%0aLocation:%20https://evil.example",
    "/sample%3f@evil.example",
]


@pytest.mark.parametrize("path", TRICKS)
def test_no_path_leads_to_another_host_or_past_the_session(
    public: PeopleConsole, prefixed: PeopleConsole, path: str
) -> None:
    for console in (public, prefixed):
        # As a server hands the path over; the test client would read a host from it.
        decoded = {"PATH_INFO": unquote(path)}
        response = console.browser().get("/", base_url=HTTPS, environ_overrides=decoded)
        assert response.status_code in {303, 404, 405}, path
        if response.status_code == 303:
            assert leads_to_login(response.location, console.access.pages.site.prefix)


def leads_to_login(location: str, prefix: str) -> bool:
    where = urlsplit(location)
    return not where.netloc and not where.scheme and where.path == f"{prefix}/login"


def test_two_consoles_do_not_take_each_other_s_sessions(
    here: PeopleConsole, public: PeopleConsole
) -> None:
    with ExitStack() as stack:
        browser = stack.enter_context(here.log_in())
        cookie = browser.get_cookie("paidup_session")
        assert cookie is not None
        other = stack.enter_context(public.browser())
        other.set_cookie("paidup_session", cookie.value, domain="ops.example.com")

        # The name says that no other site and no plain http may have set it.
        assert public.get(other, "/sample").status_code == 303
