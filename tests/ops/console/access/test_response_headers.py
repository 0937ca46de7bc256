"""Each answer of a page has the headers that keep other sites away; the API's are its own."""

import pytest

from ops.console.access.response_headers import CONTENT_POLICY
from tests.ops.console.access.people_client import PeopleConsole

pytestmark = pytest.mark.servers


def test_pages_redirects_and_refusals_have_them_all(public: PeopleConsole) -> None:
    browser = public.log_in()
    answers = [
        public.get(browser, "/sample"),
        public.get(public.browser(), "/sample"),
        public.get(public.browser(), "/login"),
        public.post(browser, "/sample", headers={}),
        public.browser().get("/login", base_url="https://evil.example"),
    ]

    assert [answer.status_code for answer in answers] == [200, 303, 200, 403, 421]
    for answer in answers:
        assert answer.headers["Content-Security-Policy"] == CONTENT_POLICY
        assert answer.headers["X-Frame-Options"] == "DENY"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Referrer-Policy"] == "same-origin"
        assert answer.headers["Cross-Origin-Opener-Policy"] == "same-origin"
        assert answer.headers["Cross-Origin-Resource-Policy"] == "same-origin"
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["Strict-Transport-Security"] == "max-age=31536000"


def test_a_browser_is_not_sent_to_https_that_is_not_there(here: PeopleConsole) -> None:
    assert "Strict-Transport-Security" not in here.get(here.browser(), "/login").headers


def test_the_policy_allows_no_inline_code_and_nothing_of_another_host() -> None:
    allowed = dict(part.strip().split(" ", 1) for part in CONTENT_POLICY.split(";"))

    assert allowed["default-src"] == "'none'"
    assert set(allowed.values()) == {"'none'", "'self'"}
    assert "unsafe" not in CONTENT_POLICY


def test_the_read_api_keeps_its_own_headers(public: PeopleConsole) -> None:
    answer = public.get(public.browser(), "/v1/entitlements")

    assert answer.status_code == 401
    assert "Content-Security-Policy" not in answer.headers
    assert answer.headers["Cache-Control"] == "private, no-cache"
