"""The URL of the console's pages: what it may be, and what of it browsers compare."""

import pytest

from runtime.console_url import is_loopback_host, read_console_url
from runtime.settings import SettingsError
from tests.fakes import settings


@pytest.mark.parametrize(
    ("text", "origin", "prefix"),
    [
        ("https://ops.example.com", "https://ops.example.com", ""),
        ("HTTPS://Ops.Example.com:443/", "https://ops.example.com", ""),
        ("https://ops.example.com:8443/a/b-c/", "https://ops.example.com:8443", "/a/b-c"),
        ("http://localhost:80", "http://localhost", ""),
        ("http://[::1]:8001/paidup", "http://[::1]:8001", "/paidup"),
    ],
)
def test_a_url_is_read_as_browsers_write_it(text: str, origin: str, prefix: str) -> None:
    url = read_console_url(text)

    assert (url.origin, url.prefix) == (origin, prefix)


@pytest.mark.parametrize(
    "text",
    [
        "ops.example.com",
        "ftp://ops.example.com",
        "https://",
        "https://user@ops.example.com",
        "https://ops.example.com?a=b",
        "https://ops.example.com/#a",
        "https://ops.example.com/../admin",
        "https://ops.example.com//evil.example",
        "https://ops.example.com/a%2fb",
        "https://ops.example.com:port",
        "https://ops.example.com/a b",
        "https://ops\n.example.com",
        "https://[::1",
        "javascript:alert(1)",
    ],
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(SettingsError, match="PAIDUP_CONSOLE_URL: must be a URL such as"):
        settings(PAIDUP_CONSOLE_URL=text)


@pytest.mark.parametrize(
    ("host", "is_loopback"),
    [
        ("localhost:8001", True),
        ("127.9.9.9", True),
        ("[::1]:8001", True),
        ("LOCALHOST", True),
        ("localhost.example.com", False),
        ("127.0.0.1.example.com", False),
        ("10.0.0.1:8001", False),
        ("", False),
    ],
)
def test_only_names_of_this_machine_are_loopback(host: str, *, is_loopback: bool) -> None:
    assert is_loopback_host(host) is is_loopback


def test_plain_http_to_another_machine_must_be_asked_for() -> None:
    with pytest.raises(SettingsError, match="must be https"):
        settings(PAIDUP_CONSOLE_URL="http://ops.internal")

    insecure = settings(PAIDUP_CONSOLE_URL="http://ops.internal", PAIDUP_CONSOLE_INSECURE="1")
    assert insecure.console_url is not None
    assert insecure.console_url.is_exposed
    assert settings(PAIDUP_CONSOLE_URL="http://localhost:8001").console_url is not None
