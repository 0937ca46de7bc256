"""Sessions end: by time, by a person, by a command, and with the token they came by."""

import pytest

from ops.console.access.sessions import MAX_REMOVED
from ops.console_tokens import Role, hashed_entry
from tests.ops.console.access.people_client import OPERATOR, TOKENS, PeopleConsole, people

pytestmark = pytest.mark.servers


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ("last_seen_at = now() - interval '119 minutes'", 200),
        ("last_seen_at = now() - interval '121 minutes'", 303),
        ("expires_at = now() + interval '1 minute'", 200),
        ("expires_at = now() - interval '1 second'", 303),
        ("ended_at = now(), ended_by = 'cli:ada'", 303),
    ],
)
def test_a_session_ends_by_time_and_by_its_row(
    here: PeopleConsole, change: str, status: int
) -> None:
    browser = here.log_in()

    here.run(f"UPDATE console_sessions SET {change}")  # noqa: S608 - our own changes

    assert here.get(browser, "/sample").status_code == status


def test_a_session_lasts_half_a_day_and_its_table_names_no_secret(here: PeopleConsole) -> None:
    browser = here.log_in()

    (session,) = here.sessions()
    cookie = browser.get_cookie("paidup_session")
    assert cookie is not None
    secret = cookie.value.partition(".")[0]
    assert (session.expires_at - session.created_at).total_seconds() == 12 * 3600
    assert secret not in str(session)
    assert OPERATOR not in str(session)
    assert len(session.digest) == 64


def test_a_request_writes_only_when_the_last_one_is_a_minute_ago(here: PeopleConsole) -> None:
    browser = here.log_in()
    (before,) = here.sessions()
    here.get(browser, "/sample")
    (after,) = here.sessions()
    assert after.last_seen_at == before.last_seen_at

    here.run("UPDATE console_sessions SET last_seen_at = now() - interval '61 seconds'")
    (old,) = here.sessions()
    here.get(browser, "/sample")

    (seen,) = here.sessions()
    assert seen.last_seen_at > old.last_seen_at


@pytest.mark.parametrize(
    "entry",
    [
        None,
        hashed_entry("ada", Role.VIEWER, OPERATOR),
        hashed_entry("ada", Role.READER, OPERATOR),
        hashed_entry("ada", Role.OPERATOR, "another token of the same name"),
        hashed_entry("eve", Role.OPERATOR, OPERATOR),
    ],
    ids=["removed", "viewer", "reader", "rolled", "renamed"],
)
def test_a_session_ends_when_its_token_is_gone_or_has_another_role(
    database: str, entry: str | None
) -> None:
    with people(database) as console:
        browser = console.log_in()
        cookie = browser.get_cookie("paidup_session")
        assert cookie is not None
    others = [other for other in TOKENS.split(",") if not other.startswith("ada:")]
    now = ",".join([*others, *([entry] if entry else [])])

    with people(database, PAIDUP_CONSOLE_TOKENS=now) as console:
        browser = console.browser()
        browser.set_cookie("paidup_session", cookie.value)
        assert console.get(browser, "/sample").status_code == 303
        (session,) = console.sessions()
        last = console.audited()[-1]

    assert session.ended_by == "settings"
    assert (last.actor, last.action) == ("console:ada", "console.session_ended")
    # It stays ended if the old settings come back.
    with people(database) as console:
        browser = console.browser()
        browser.set_cookie("paidup_session", cookie.value)
        assert console.get(browser, "/sample").status_code == 303


def test_a_session_counts_at_every_console_with_the_same_settings(database: str) -> None:
    with people(database) as first, people(database) as second:
        browser = first.log_in()
        cookie = browser.get_cookie("paidup_session")
        assert cookie is not None
        other = second.browser()
        other.set_cookie("paidup_session", cookie.value)

        assert second.get(other, "/sample").text == "read by ada"
        first.post(browser, "/logout")
        assert second.get(other, "/sample").status_code == 303


def test_a_cookie_of_the_secret_before_counts_while_it_is_rolled(database: str) -> None:
    old, new = "o" * 22 + "ld" * 11, "n" * 22 + "ew" * 11
    with people(database, PAIDUP_CONSOLE_SECRET=old) as console:
        cookie = console.log_in().get_cookie("paidup_session")
        assert cookie is not None

    for secrets, status in ((f"{new}\n{old}\n", 200), (new, 303)):
        with people(database, PAIDUP_CONSOLE_SECRET=secrets) as console:
            browser = console.browser()
            browser.set_cookie("paidup_session", cookie.value)
            assert console.get(browser, "/sample").status_code == status


def test_sessions_that_are_long_over_are_removed_at_a_login(here: PeopleConsole) -> None:
    here.log_in()
    here.run("UPDATE console_sessions SET expires_at = now() - interval '29 days'")
    here.log_in()
    here.run(
        "UPDATE console_sessions SET expires_at = now() - interval '31 days'"
        " WHERE expires_at < now()"
    )

    here.log_in()

    assert len(here.sessions()) == 2
    assert MAX_REMOVED >= 1
