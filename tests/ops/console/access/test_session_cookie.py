"""The cookie carries a secret that we signed, under a name that says who may set it."""

import pytest
from itsdangerous import Signer
from werkzeug.test import EnvironBuilder
from werkzeug.wrappers import Request, Response

from ops.console.access.session_cookie import SessionCookie
from ops.console.access.site import Site
from tests.fakes import settings
from tests.ops.console.access.people_client import SECRET

OLD = "the-secret-before-of-more-than-43-characters"


def site(url: str = "") -> Site:
    return Site.of(settings(PAIDUP_CONSOLE_URL=url))


def cookie(*secrets: str) -> SessionCookie:
    return SessionCookie(site(), secrets or (SECRET,), lifetime_seconds=60)


def written(by: SessionCookie, secret: str) -> str:
    response = Response()
    by.write(response, secret)
    return response.headers["Set-Cookie"].partition(";")[0].partition("=")[2]


def read(by: SessionCookie, value: str) -> str | None:
    headers = [("Cookie", f"{by.name}={value}")]
    return by.read(Request(EnvironBuilder(headers=headers).get_environ()))


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("", "paidup_session"),
        ("http://localhost:8001", "paidup_session"),
        ("https://ops.example.com", "__Host-paidup_session"),
        ("https://ops.example.com/paidup", "__Secure-paidup_session"),
    ],
)
def test_its_name_says_what_browsers_enforce(url: str, name: str) -> None:
    assert SessionCookie(site(url), (SECRET,), lifetime_seconds=60).name == name


def test_what_is_written_is_read_again() -> None:
    assert read(cookie(), written(cookie(), "random")) == "random"


def test_the_first_secret_signs_and_each_is_accepted() -> None:
    rolled = cookie(SECRET, OLD)

    assert read(rolled, written(cookie(OLD), "random")) == "random"
    assert read(cookie(), written(rolled, "random")) == "random"
    assert read(cookie(OLD), written(rolled, "random")) is None


def test_a_signature_for_another_purpose_does_not_count() -> None:
    assert read(cookie(), Signer(SECRET).sign("random").decode()) is None


def test_a_long_value_is_not_even_checked() -> None:
    assert read(cookie(), written(cookie(), "x" * 300)) is None
