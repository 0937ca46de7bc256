"""Cookies that were made, changed, planted or blown up let no one in and break nothing."""

import pytest
from itsdangerous import Signer

from tests.ops.console.access.people_client import HTTPS, SECRET, VIEWER, PeopleConsole

pytestmark = pytest.mark.servers

NAME = "__Host-paidup_session"
DOMAIN = "ops.example.com"


def value_of(console: PeopleConsole, token: str = VIEWER) -> str:
    cookie = console.log_in(token).get_cookie(NAME, domain=DOMAIN)
    assert cookie is not None
    return cookie.value


def status(console: PeopleConsole, header: str) -> int:
    browser = console.app.test_client(use_cookies=False)
    return browser.get("/sample", base_url=HTTPS, headers={"Cookie": header}).status_code


def test_the_cookie_is_bound_to_this_host_and_out_of_reach_for_scripts(
    public: PeopleConsole,
) -> None:
    browser = public.browser()
    response = public.post(browser, "/login", token=VIEWER)

    (header,) = response.headers.getlist("Set-Cookie")
    attributes = {part.strip().lower() for part in header.split(";")[1:]}
    assert header.startswith(f"{NAME}=")
    assert attributes == {"secure", "httponly", "samesite=lax", "path=/", "max-age=43200"} | {
        each for each in attributes if each.startswith("expires=")
    }
    assert "domain" not in header.lower()


def test_each_changed_character_makes_it_worthless(public: PeopleConsole) -> None:
    value = value_of(public)
    assert status(public, f"{NAME}={value}") == 200

    for place in range(0, len(value), 7):
        other = "A" if value[place] != "A" else "B"
        changed = f"{value[:place]}{other}{value[place + 1 :]}"
        # The last character of base64 has bits that mean nothing.
        if place < len(value) - 1:
            assert status(public, f"{NAME}={changed}") == 303


@pytest.mark.parametrize(
    "made",
    [
        "",
        ".",
        "a.b",
        "' OR 1=1 --",
        "\u00ff",
        "%00",
        '"unclosed',
        "x" * 60_000,
        Signer("another secret" * 4, salt=b"paidup console session").sign("a").decode(),
        Signer(SECRET).sign("a").decode(),
    ],
)
def test_a_cookie_that_we_did_not_sign_is_no_session(public: PeopleConsole, made: str) -> None:
    assert status(public, f"{NAME}={made}") == 303


def test_the_secret_without_its_signature_is_no_session(public: PeopleConsole) -> None:
    value = value_of(public)

    assert status(public, f"{NAME}={value.rpartition('.')[0]}") == 303


@pytest.mark.parametrize("name", ["paidup_session", "__Secure-paidup_session", "session"])
def test_a_cookie_of_a_name_that_other_sites_may_set_does_not_count(
    public: PeopleConsole, name: str
) -> None:
    assert status(public, f"{name}={value_of(public)}") == 303


def test_many_cookies_of_other_sites_do_not_matter(public: PeopleConsole) -> None:
    others = "; ".join(f"other{number}={'v' * 100}" for number in range(300))

    assert status(public, f"{others}; {NAME}={value_of(public)}") == 200


def test_a_session_that_a_stranger_planted_is_not_the_one_a_person_gets(
    public: PeopleConsole,
) -> None:
    planted = value_of(public)
    victim = public.browser()
    victim.set_cookie(NAME, planted, domain=DOMAIN)

    public.log_in(browser=victim)

    own = victim.get_cookie(NAME, domain=DOMAIN)
    assert own is not None
    assert own.value != planted
    assert public.get(victim, "/sample").text == "read by ada"
    assert status(public, f"{NAME}={planted}") == 303
    assert [entry.action for entry in public.audited()] == [
        "console.login",
        "console.session_ended",
        "console.login",
    ]


def test_a_value_that_a_stranger_chose_is_replaced_at_the_login(public: PeopleConsole) -> None:
    victim = public.browser()
    victim.set_cookie(NAME, "chosen", domain=DOMAIN)

    public.log_in(browser=victim)

    assert status(public, f"{NAME}=chosen") == 303
