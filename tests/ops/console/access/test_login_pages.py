"""PeopleConsole log in with a token, and out; everything about it is audited."""

import re

import pytest

from ops.console.access.login_limits import TRIES_OF_A_SOURCE
from tests.ops.console.access.people_client import (
    OPERATOR,
    READER,
    SAME,
    TOKENS,
    VIEWER,
    PeopleConsole,
    people,
)

pytestmark = pytest.mark.servers


def test_the_form_has_one_field_for_the_token_and_its_label(here: PeopleConsole) -> None:
    page = here.get(here.browser(), "/login")

    assert page.status_code == 200
    assert page.text.count('type="password"') == 1
    assert '<label for="field-token">' in page.text


@pytest.mark.parametrize(("token", "name"), [(OPERATOR, "ada"), (VIEWER, "sue")])
def test_a_person_logs_in_and_comes_to_the_page_that_was_wanted(
    here: PeopleConsole, token: str, name: str
) -> None:
    browser = here.browser()
    sent_away = here.get(browser, "/sample?a=b%2Fc&d=%C3%A9")
    assert sent_away.status_code == 303
    form = here.get(browser, sent_away.location)
    (wanted,) = re.findall(r'name="next" value="([^"]*)"', form.text)

    response = here.post(browser, "/login", token=f" {token} ", next=wanted.replace("&amp;", "&"))

    assert (response.status_code, response.location) == (303, "/sample?a=b%2Fc&d=%C3%A9")
    assert here.get(browser, "/sample").text == f"read by {name}"


def test_a_login_is_audited_with_its_way_and_its_source(here: PeopleConsole) -> None:
    here.log_in()

    (entry,), (session,) = here.audited(), here.sessions()
    assert (entry.actor, entry.action, entry.outcome) == ("console:ada", "console.login", "done")
    assert (entry.target_type, entry.target_id) == ("console_session", session.id)
    assert entry.after == {"role": "operator", "how": "token", "source": "127.0.0.1"}


def test_the_token_of_an_application_does_not_log_in_and_the_page_says_which_would(
    here: PeopleConsole,
) -> None:
    response = here.post(here.browser(), "/login", token=READER)

    assert response.status_code == 403
    assert "viewer or operator" in response.text
    assert here.sessions() == []
    (entry,) = here.audited()
    assert (entry.actor, entry.action) == ("console:app", "console.login_failed")
    assert (entry.outcome, entry.reason) == ("refused", "a token of the role reader")


@pytest.mark.parametrize("token", ["stranger", OPERATOR + "x", OPERATOR[:-1], "ungültig"])
def test_an_unknown_token_does_not_log_in_and_is_never_shown_again(
    here: PeopleConsole, token: str
) -> None:
    response = here.post(here.browser(), "/login", token=token)

    assert response.status_code == 403
    assert token not in response.text
    assert "Set-Cookie" not in response.headers
    assert here.sessions() == []
    (entry,) = here.audited()
    assert (entry.actor, entry.reason) == ("console:?", "unknown token")
    assert token not in str(entry)


@pytest.mark.parametrize("token", ["", "  "])
def test_an_empty_form_is_no_failed_login(here: PeopleConsole, token: str) -> None:
    response = here.post(here.browser(), "/login", token=token)

    assert response.status_code == 422
    assert here.audited() == []


def test_a_person_who_is_logged_in_needs_no_form(here: PeopleConsole) -> None:
    response = here.get(here.log_in(), "/login?next=/sample")

    assert (response.status_code, response.location) == (303, "/sample")


def test_logging_out_ends_the_session_and_not_only_the_cookie(here: PeopleConsole) -> None:
    browser = here.log_in()
    kept = browser.get_cookie("paidup_session")
    assert kept is not None

    response = here.post(browser, "/logout")

    assert (response.status_code, response.location) == (303, "/login")
    assert browser.get_cookie("paidup_session") is None
    browser.set_cookie("paidup_session", kept.value)
    assert here.get(browser, "/sample").status_code == 303
    (session,) = here.sessions()
    assert session.ended_by == "console:ada"
    assert [entry.action for entry in here.audited()] == ["console.login", "console.logout"]


def test_logging_out_twice_is_no_error_and_is_audited_once(here: PeopleConsole) -> None:
    browser = here.log_in()

    here.post(browser, "/logout")

    assert here.post(browser, "/logout").status_code == 303
    assert len(here.audited()) == 2


def test_without_a_secret_log_in_is_off_and_the_page_names_the_setting(database: str) -> None:
    with people(database, PAIDUP_CONSOLE_SECRET="") as console:
        page = console.get(console.browser(), "/login")
        sent = console.post(console.browser(), "/login", token=OPERATOR)

    assert page.status_code == sent.status_code == 503
    assert "PAIDUP_CONSOLE_SECRET_FILE" in page.text
    assert "<form" not in page.text


def test_without_a_token_of_a_person_the_page_says_how_to_make_one(database: str) -> None:
    reader = TOKENS.rpartition(",")[2]
    with people(database, PAIDUP_CONSOLE_TOKENS=reader) as console:
        page = console.get(console.browser(), "/login")

    assert page.status_code == 503
    assert "paidup console token NAME --role operator" in page.text


def test_a_source_that_tries_too_often_waits_and_a_login_gives_it_its_tries_back(
    here: PeopleConsole,
) -> None:
    browser = here.browser()
    for _ in range(TRIES_OF_A_SOURCE - 1):
        assert here.post(browser, "/login", token="wrong").status_code == 403
    here.log_in(browser=browser)
    for _ in range(TRIES_OF_A_SOURCE):
        assert here.post(browser, "/login", token="wrong").status_code == 403

    refused = here.post(browser, "/login", token=OPERATOR)

    assert refused.status_code == 429
    assert 1 <= int(refused.headers["Retry-After"]) <= 6
    assert "Set-Cookie" not in refused.headers


def test_a_form_larger_than_any_token_is_refused(here: PeopleConsole) -> None:
    response = here.post(here.browser(), "/login", token="x" * 20_000)

    assert response.status_code in {400, 413}
    assert here.audited() == []


def test_the_database_being_away_is_said_and_nobody_is_let_in(here: PeopleConsole) -> None:
    browser = here.log_in()
    here.run("ALTER TABLE console_sessions RENAME TO moved")

    assert here.get(browser, "/sample").status_code == 503
    assert here.post(here.browser(), "/login", SAME, token=OPERATOR).status_code == 503
