"""The console below a prefix: the proxy may take it away or leave it, and nothing escapes it."""

import pytest

from ops.console.access.prefix import PrefixMiddleware
from ops.console.access.site import Site
from runtime.settings import SettingsError
from tests.fakes import settings
from tests.ops.console.access.people_client import HTTPS, OPERATOR, PeopleConsole, people

SITE = Site.of(settings(PAIDUP_CONSOLE_URL=f"{HTTPS}/paidup"))


@pytest.mark.parametrize(
    ("given", "path"),
    [
        ("/paidup", "/"),
        ("/paidup/", "/"),
        ("/paidup/users", "/users"),
        ("/users", "/users"),
        ("/", "/"),
        ("/paidupx", "/paidupx"),
        ("/paidup/paidup", "/paidup"),
        ("/paidup/../v1", "/../v1"),
        ("", "/"),
    ],
)
def test_the_path_is_what_comes_after_the_prefix(given: str, path: str) -> None:
    seen = {}

    def application(environ: dict[str, object], _: object) -> list[bytes]:
        seen.update(environ)
        return []

    PrefixMiddleware(application, SITE)({"PATH_INFO": given}, lambda *_: print)

    assert (seen["SCRIPT_NAME"], seen["PATH_INFO"]) == ("/paidup", path)
    assert seen["wsgi.url_scheme"] == "https"


@pytest.mark.servers
@pytest.mark.parametrize("front", ["", "/paidup"])
def test_people_log_in_whether_or_not_the_proxy_takes_the_prefix_away(
    prefixed: PeopleConsole, front: str
) -> None:
    browser = prefixed.browser()
    away = prefixed.get(browser, f"{front}/sample?a=b")
    assert away.location == "/paidup/login?next=/sample?a%3Db"

    response = prefixed.post(browser, f"{front}/login", token=OPERATOR, next="/sample?a=b")

    assert response.location == "/paidup/sample?a=b"
    cookie = response.headers["Set-Cookie"]
    assert cookie.startswith("__Secure-paidup_session=")
    assert "; Path=/paidup;" in f"{cookie};"
    # The browser sees the prefix, even if the application does not.
    value = cookie.partition(";")[0].partition("=")[2]
    browser.set_cookie("__Secure-paidup_session", value, domain="ops.example.com", path="/")
    assert prefixed.get(browser, f"{front}/sample").text == "read by ada"


@pytest.mark.servers
def test_the_read_api_answers_below_the_prefix_and_without_it(prefixed: PeopleConsole) -> None:
    for path in ("/v1/entitlements", "/paidup/v1/entitlements", "/healthz", "/paidup/healthz"):
        assert prefixed.get(prefixed.browser(), path).status_code in {200, 401}


@pytest.mark.servers
@pytest.mark.parametrize("prefix", ["/v1", "/login", "/sample/console", "/metrics"])
def test_a_prefix_that_is_a_path_of_the_console_is_refused(database: str, prefix: str) -> None:
    with (
        pytest.raises(SettingsError, match="PAIDUP_CONSOLE_URL: its path must not begin"),
        people(database, PAIDUP_CONSOLE_URL=f"{HTTPS}{prefix}"),
    ):
        pytest.fail("it was built")
