"""The address of the pages: who comes near, and where a path may lead."""

import pytest
from werkzeug.test import EnvironBuilder
from werkzeug.wrappers import Request

from ops.console.access.people import PageRefused
from ops.console.access.site import Site
from tests.fakes import settings

LOCAL = Site.of(settings())
PUBLIC = Site.of(settings(PAIDUP_CONSOLE_URL="https://ops.example.com/paidup"))


def request(host: str, client: str = "127.0.0.1", **headers: str) -> Request:
    builder = EnvironBuilder(
        path="/login", base_url=f"http://{host}", headers=list(headers.items())
    )
    return Request({**builder.get_environ(), "REMOTE_ADDR": client})


def status(site: Site, of: Request) -> int:
    try:
        site.check(of)
    except PageRefused as refused:
        return refused.code or 0
    return 200


def test_a_site_is_what_its_url_says() -> None:
    assert PUBLIC.redirect_uri == "https://ops.example.com/paidup/login/oidc/callback"
    assert (PUBLIC.scheme, PUBLIC.host) == ("https", "ops.example.com")
    assert (PUBLIC.prefix, PUBLIC.cookie_path) == ("/paidup", "/paidup")
    assert (LOCAL.scheme, LOCAL.host) == ("http", None)
    assert (LOCAL.prefix, LOCAL.cookie_path, LOCAL.redirect_uri) == ("", "/", None)


@pytest.mark.parametrize("host", ["localhost:8001", "127.0.0.1", "[::1]:8001"])
@pytest.mark.parametrize("client", ["127.0.0.1", "::1", "::ffff:127.0.0.1"])
def test_without_a_url_this_machine_may_come(host: str, client: str) -> None:
    assert status(LOCAL, request(host, client)) == 200


@pytest.mark.parametrize(
    ("host", "client"),
    [
        ("localhost:8001", "10.0.0.9"),
        ("localhost:8001", ""),
        ("localhost:8001", "localhost"),
        ("evil.example:8001", "127.0.0.1"),
        ("10.0.0.1:8001", "127.0.0.1"),
        ("localhost.evil.example", "127.0.0.1"),
    ],
)
def test_without_a_url_no_other_may_come(host: str, client: str) -> None:
    assert status(LOCAL, request(host, client)) == 403


@pytest.mark.parametrize("header", ["X-Forwarded-For", "Forwarded", "Via", "X-Real-IP"])
def test_a_proxy_on_this_machine_does_not_make_strangers_local(header: str) -> None:
    assert status(LOCAL, request("localhost:8001", **{header: "1.2.3.4"})) == 403


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("ops.example.com", 200),
        ("OPS.example.com:443", 200),
        ("ops.example.com:8001", 421),
        ("evil.example", 421),
        ("localhost", 421),
        ("ops.example.com.evil.example", 421),
    ],
)
def test_with_a_url_only_its_host_is_answered(host: str, expected: int) -> None:
    assert status(PUBLIC, request(host, "10.0.0.9")) == expected


def test_only_plain_http_to_other_machines_is_warned_of() -> None:
    exposed = settings(PAIDUP_CONSOLE_URL="http://ops.internal", PAIDUP_CONSOLE_INSECURE="1")

    assert "others on the network" in (Site.of(exposed).warning or "")
    assert PUBLIC.warning is LOCAL.warning is None
    assert Site.of(settings(PAIDUP_CONSOLE_URL="http://localhost:8001")).warning is None


@pytest.mark.parametrize("path", ["/", "/users/usr_1?at=2026-01-01", "/a/%C3%A9", "/a?next=//b"])
def test_a_local_path_is_kept(path: str) -> None:
    assert PUBLIC.local_path(path) == path
    assert PUBLIC.href(path) == f"/paidup{path}"


@pytest.mark.parametrize(
    "path",
    [
        None,
        "",
        "users",
        "//evil.example",
        "///evil.example",
        "/\\evil.example",
        "\\\\evil.example",
        "/%2f/evil.example",
        "/%5cevil.example",
        "/%2f%2fevil.example",
        "/..//evil.example",
        "/../other",
        "/%2e%2e/other",
        "/a/%2e%2e%2fother",
        "/.%2e/other",
        "/./other",
        "/a/..",
        "https://evil.example",
        "javascript:alert(1)",
        "/a\r\nSet-Cookie: a=b",
        "/a\n",
        "/\t/evil.example",
        "/%0d%0aSet-Cookie:a",
        "/a b",
        "/\u00e9",
        "/\x00",
        " /a",
        "@evil.example",
        "/" + "a" * 2000,
    ],
)
def test_what_could_lead_elsewhere_becomes_the_first_page(path: str | None) -> None:
    assert PUBLIC.local_path(path) == "/"
