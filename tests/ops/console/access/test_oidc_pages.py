"""People log in by a provider, and a provider that lies, fails or is played with lets no one in."""

from collections.abc import Iterator
from typing import Any

import pytest
from flask.testing import FlaskClient
from joserfc.jwk import RSAKey
from werkzeug.test import TestResponse

from ops.console.access.oidc import LoginAttempt, OidcProvider, OidcUnavailable
from tests.ops.console.access.oidc_provider import (
    CLIENT_ID,
    CLIENT_SECRET,
    LocalProvider,
    local_provider,
)
from tests.ops.console.access.people_client import HTTPS, PeopleConsole, people

pytestmark = pytest.mark.servers

COOKIE = "__Host-paidup_login"
ROLES = "groups:billing-ops=operator,groups:support=viewer,email:root@example.com=operator"


@pytest.fixture
def provider() -> Iterator[LocalProvider]:
    with local_provider() as started:
        yield started


def settings_for(provider: LocalProvider, **more: str) -> dict[str, str]:
    return {
        "PAIDUP_CONSOLE_URL": HTTPS,
        "PAIDUP_OIDC_ISSUER": provider.issuer,
        "PAIDUP_OIDC_CLIENT_ID": CLIENT_ID,
        "PAIDUP_OIDC_CLIENT_SECRET": CLIENT_SECRET,
        "PAIDUP_OIDC_ROLES": ROLES,
        **more,
    }


@pytest.fixture
def console(database: str, provider: LocalProvider) -> Iterator[PeopleConsole]:
    with people(database, HTTPS, **settings_for(provider)) as built:
        yield built


def leave(console: PeopleConsole, browser: FlaskClient, wanted: str = "/sample") -> str:
    """Go to the provider, and return the URL there."""
    away = console.get(browser, f"/login/oidc?next={wanted}")
    assert away.status_code == 303, away.text
    return away.location


def come_back(console: PeopleConsole, browser: FlaskClient, url: str) -> TestResponse:
    assert url.startswith(f"{HTTPS}/login/oidc/callback?")
    return console.get(browser, url.removeprefix(HTTPS), **{"Sec-Fetch-Site": "cross-site"})


def log_in(console: PeopleConsole, provider: LocalProvider) -> tuple[FlaskClient, TestResponse]:
    browser = console.browser()
    back = provider.authorize(leave(console, browser))
    return browser, come_back(console, browser, back)


def test_the_form_offers_the_provider_beside_the_token(
    console: PeopleConsole, provider: LocalProvider
) -> None:
    page = console.get(console.browser(), "/login?next=/sample")

    assert 'href="/login/oidc?next=/sample"' in page.text
    assert provider.issuer.removeprefix("http://") in page.text
    assert 'type="password"' in page.text


@pytest.mark.parametrize(
    ("claims", "role"),
    [
        ({"groups": ["support"]}, "viewer"),
        ({"groups": ["support", "billing-ops"]}, "operator"),
        ({"groups": ["billing-ops", "support"]}, "operator"),
        ({"groups": "billing-ops"}, "operator"),
        ({"groups": [], "email": "root@example.com"}, "operator"),
    ],
)
def test_a_person_gets_the_highest_role_that_a_rule_gives(
    console: PeopleConsole, provider: LocalProvider, claims: dict[str, Any], role: str
) -> None:
    provider.claims = claims

    browser, response = log_in(console, provider)

    assert (response.status_code, response.location) == (303, "/sample")
    name = claims.get("email", "ada@example.com")
    assert console.get(browser, "/sample").text == f"read by {name}"
    (session,), (entry,) = console.sessions(), console.audited()
    assert (session.role, session.how) == (role, "oidc")
    assert entry.actor == f"console:{name}"
    assert entry.after["subject"] == "subject-1"


@pytest.mark.parametrize(
    ("claims", "name"),
    [
        ({"email_verified": True, "preferred_username": "sue"}, "ada@example.com"),
        ({"email_verified": False}, "subject-1"),
        ({"email_verified": "false"}, "subject-1"),
        ({"email": None}, "subject-1"),
        ({"email": None, "preferred_username": "ada"}, "subject-1"),
        ({"email": "ada\n@example.com"}, "subject-1"),
        ({"email": ["a"]}, "subject-1"),
        ({"email": "x" * 201}, "subject-1"),
    ],
)
def test_the_name_is_the_best_that_the_provider_vouches_for(
    console: PeopleConsole, provider: LocalProvider, claims: dict[str, Any], name: str
) -> None:
    provider.claims |= claims

    log_in(console, provider)

    (session,) = console.sessions()
    assert session.person == name


@pytest.mark.parametrize(
    "claims",
    [
        {"groups": []},
        {"groups": None},
        {"groups": ["Support"]},
        {"groups": "support-and-more"},
        {"groups": {"support": True}},
        {"groups": [["support"]]},
        {"group": ["support"]},
        {"groups": None, "roles": "operator"},
        {"groups": None, "email": "root@example.com", "email_verified": False},
        {"groups": None, "email": "root@example.com", "email_verified": "false"},
    ],
)
def test_without_a_match_there_is_no_access(
    console: PeopleConsole, provider: LocalProvider, claims: dict[str, Any]
) -> None:
    provider.claims = claims

    _, response = log_in(console, provider)

    assert refused(console, response, "no rule of PAIDUP_OIDC_ROLES matches")


def refused(console: PeopleConsole, response: TestResponse, reason: str) -> bool:
    assert response.status_code == 403
    assert console.sessions() == []
    (entry,) = console.audited()
    assert entry.action == "console.login_failed"
    assert reason in entry.reason
    return True


@pytest.mark.parametrize(
    ("claims", "reason"),
    [
        ({"iss": "https://evil.example"}, "InvalidClaimError"),
        ({"iss": None}, "MissingClaimError"),
        ({"aud": "another-client"}, "InvalidClaimError"),
        ({"aud": None}, "MissingClaimError"),
        ({"aud": [CLIENT_ID, "other"], "azp": "other"}, "for another client"),
        ({"nonce": "of-another-login"}, "InvalidClaimError"),
        ({"nonce": None}, "MissingClaimError"),
        ({"exp": 1}, "ExpiredTokenError"),
        ({"exp": None}, "MissingClaimError"),
        ({"iat": 9_999_999_999}, "InvalidClaimError"),
        ({"nbf": 9_999_999_999}, "InvalidClaimError"),
        ({"sub": None}, "MissingClaimError"),
    ],
)
def test_an_id_token_that_is_not_for_this_login_is_refused(
    console: PeopleConsole, provider: LocalProvider, claims: dict[str, Any], reason: str
) -> None:
    provider.claims |= claims

    _, response = log_in(console, provider)

    assert refused(console, response, reason)


@pytest.mark.parametrize("algorithm", ["none", "HS256"])
def test_a_signature_that_anyone_can_make_is_refused(
    console: PeopleConsole, provider: LocalProvider, algorithm: str
) -> None:
    provider.signs_with = algorithm

    _, response = log_in(console, provider)

    assert refused(console, response, "the ID token is not valid")


def test_a_signature_of_another_key_is_refused(
    console: PeopleConsole, provider: LocalProvider
) -> None:
    provider.published = RSAKey.generate_key(2048, {"kid": "1"})

    _, response = log_in(console, provider)

    assert refused(console, response, "the ID token is not valid")


def test_a_callback_without_an_attempt_is_refused(
    console: PeopleConsole, provider: LocalProvider
) -> None:
    back = provider.authorize(leave(console, console.browser()))

    response = come_back(console, console.browser(), back)

    assert refused(console, response, "no login began in this browser")


def test_a_callback_of_another_browser_is_refused(
    console: PeopleConsole, provider: LocalProvider
) -> None:
    stranger, victim = console.browser(), console.browser()
    back = provider.authorize(leave(console, stranger))
    leave(console, victim)

    response = come_back(console, victim, back)

    assert refused(console, response, "the state is not that of this browser")


def test_a_callback_counts_once(console: PeopleConsole, provider: LocalProvider) -> None:
    browser = console.browser()
    url = leave(console, browser)
    kept = browser.get_cookie(COOKIE, domain="ops.example.com")
    back = provider.authorize(url)
    assert kept is not None

    assert come_back(console, browser, back).status_code == 303
    again = come_back(console, browser, back)
    browser.set_cookie(COOKIE, kept.value, domain="ops.example.com")
    with_the_cookie = come_back(console, browser, back)

    assert again.status_code == with_the_cookie.status_code == 403
    assert len(console.sessions()) == 1


def test_a_failed_callback_uses_the_attempt_up(
    console: PeopleConsole, provider: LocalProvider
) -> None:
    browser = console.browser()
    leave(console, browser)

    failed = console.get(browser, "/login/oidc/callback?error=access_denied&state=x")

    assert failed.status_code == 403
    assert browser.get_cookie(COOKIE, domain="ops.example.com") is None


@pytest.mark.parametrize("change", ["x", "", "a.b.c"])
def test_a_changed_attempt_is_none(
    console: PeopleConsole, provider: LocalProvider, change: str
) -> None:
    browser = console.browser()
    back = provider.authorize(leave(console, browser))
    browser.set_cookie(COOKIE, change, domain="ops.example.com")

    assert refused(console, come_back(console, browser, back), "no login began in this browser")


def test_another_issuer_in_the_callback_is_refused(
    console: PeopleConsole, provider: LocalProvider
) -> None:
    browser = console.browser()
    back = provider.authorize(leave(console, browser)).rpartition("&iss=")[0]

    response = come_back(console, browser, f"{back}&iss=https://evil.example")

    assert refused(console, response, "another issuer")


def test_a_login_by_a_provider_leads_to_no_other_site(
    console: PeopleConsole, provider: LocalProvider
) -> None:
    browser = console.browser()
    back = provider.authorize(leave(console, browser, "//evil.example"))

    assert come_back(console, browser, back).location == "/"


def test_a_provider_that_is_down_is_said_and_is_no_failed_login(
    console: PeopleConsole, provider: LocalProvider
) -> None:
    provider.is_down = True
    at_first = console.get(console.browser(), "/login/oidc")
    provider.is_down = False
    browser = console.browser()
    back = provider.authorize(leave(console, browser))
    provider.is_down = True

    later = come_back(console, browser, back)

    assert at_first.status_code == later.status_code == 502
    assert "log in with a token" in at_first.text
    assert console.sessions() == console.audited() == []


def test_those_who_wait_for_a_provider_that_is_down_do_not_ask_it_one_after_another(
    provider: LocalProvider,
) -> None:
    now = 0.0
    known = OidcProvider(
        issuer=provider.issuer,
        client_id=CLIENT_ID,
        client_secret=None,
        redirect_uri=f"{HTTPS}/login/oidc/callback",
        monotonic=lambda: now,
    )
    provider.is_down = True

    for _ in range(3):  # they came before the first one had its answer
        with pytest.raises(OidcUnavailable):
            known.begin(LoginAttempt())
    asked_while_it_was_down = len(provider.asked)
    provider.is_down, now = False, 0.1

    assert known.begin(LoginAttempt()).startswith(f"{provider.issuer}/authorize")
    assert asked_while_it_was_down == 1


@pytest.mark.parametrize(
    "metadata",
    [
        {"issuer": "https://evil.example"},
        {"token_endpoint": "http://evil.example/token"},
        {"jwks_uri": "file:///etc/passwd"},
        {"authorization_endpoint": None},
        {"authorization_endpoint": "javascript:alert(1)"},
    ],
)
def test_a_provider_that_names_unsafe_addresses_is_not_followed(
    console: PeopleConsole, provider: LocalProvider, metadata: dict[str, Any]
) -> None:
    provider.metadata = metadata

    assert console.get(console.browser(), "/login/oidc").status_code == 502
    assert provider.asked == ["/.well-known/openid-configuration"]


@pytest.mark.parametrize(
    ("changed", "status"),
    [
        ({}, 200),
        ({"PAIDUP_OIDC_ROLES": "groups:billing-ops=operator"}, 303),
        ({"PAIDUP_OIDC_ROLES": "groups:support=operator"}, 303),
        ({"PAIDUP_OIDC_ISSUER": "https://other.example"}, 303),
        ({"PAIDUP_OIDC_ISSUER": ""}, 303),
    ],
)
def test_a_session_ends_with_the_rule_that_let_the_person_in(
    database: str, provider: LocalProvider, changed: dict[str, str], status: int
) -> None:
    with people(database, HTTPS, **settings_for(provider)) as console:
        browser, _ = log_in(console, provider)
    cookie = browser.get_cookie("__Host-paidup_session", domain="ops.example.com")
    assert cookie is not None

    with people(database, HTTPS, **settings_for(provider, **changed)) as console:
        again = console.browser()
        again.set_cookie("__Host-paidup_session", cookie.value, domain="ops.example.com")
        assert console.get(again, "/sample").status_code == status


def test_without_tokens_of_people_the_provider_alone_lets_people_in(
    database: str, provider: LocalProvider
) -> None:
    with people(database, HTTPS, **settings_for(provider, PAIDUP_CONSOLE_TOKENS="")) as console:
        page = console.get(console.browser(), "/login")
        _, response = log_in(console, provider)

    assert (page.status_code, response.status_code) == (200, 303)
    assert 'type="password"' not in page.text
