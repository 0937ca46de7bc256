import json
from collections.abc import Callable

import pytest

from ops.cli import run
from ops.console_tokens import Role, Token, find_token, read_tokens
from tests.ops.conftest import Paidup
from tests.ops.console.access.people_client import OPERATOR, VIEWER, people


def holder(setting: str, token: str) -> tuple[str, Role]:
    found = find_token(read_tokens([setting]), token)
    assert isinstance(found, Token)
    return found.name, found.role


def test_a_token_is_drawn_with_the_line_for_the_setting(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["console", "token", "billing-app", "--json"]) == 0

    drawn = json.loads(capsys.readouterr().out)

    assert drawn["name"] == "billing-app"
    assert holder(drawn["setting"], drawn["token"]) == ("billing-app", Role.READER)
    assert drawn["role"] == "reader"


def test_people_are_shown_what_to_do_with_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["console", "token", "billing-app"]) == 0

    said = capsys.readouterr().out
    token, setting = (line.split()[1] for line in said.splitlines()[:2])
    assert holder(setting, token) == ("billing-app", Role.READER)
    assert "PAIDUP_CONSOLE_TOKENS" in said


def test_a_token_that_may_write_is_asked_for_by_its_role(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(["console", "token", "support", "--role", "operator", "--json"]) == 0

    drawn = json.loads(capsys.readouterr().out)
    assert holder(drawn["setting"], drawn["token"]) == ("support", Role.OPERATOR)


def test_a_person_who_only_looks_gets_a_token_of_a_viewer(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(["console", "token", "sue", "--role", "viewer", "--json"]) == 0

    drawn = json.loads(capsys.readouterr().out)
    assert holder(drawn["setting"], drawn["token"]) == ("sue", Role.VIEWER)


def test_a_role_that_does_not_exist_is_wrong_use(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["console", "token", "support", "--role", "admin"]) == 2
    assert "'reader', 'viewer', 'operator'" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["", "two words", "a:b", "a,b", "x" * 65, "\u00eb"])
def test_a_name_that_no_setting_could_hold_is_wrong_use(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["console", "token", name]) == 2
    assert "write 1 to 64" in capsys.readouterr().err


def test_a_server_that_cannot_be_found_is_a_sentence(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: object
) -> None:
    monkeypatch.delenv("DATABASE_URL", raising=False)
    monkeypatch.setenv("PAIDUP_DATA_DIR", str(tmp_path))

    assert run(["console"]) == 1
    assert "DATABASE_URL is not set" in capsys.readouterr().err


def test_both_have_help_with_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["console", "token", "--help"]) == 0

    assert "Example:\n    paidup console token billing-app" in capsys.readouterr().out


@pytest.mark.servers
def test_sessions_are_listed_without_anything_secret(
    database: str, deployed: Callable[..., None], paidup: Paidup
) -> None:
    deployed(DATABASE_URL=database)
    assert "no one is logged in" in paidup("console", "sessions", "list")
    with people(database) as console:
        console.log_in(VIEWER)
        (session,) = console.sessions()

    listed = paidup("console", "sessions", "list")
    (document,) = json.loads(paidup("console", "sessions", "list", "--json"))["sessions"]

    assert session.id in listed
    assert document["person"] == "sue"
    assert document["role"] == "viewer"
    assert session.digest not in str(document) + listed


@pytest.mark.servers
@pytest.mark.parametrize("by_id", [True, False])
def test_sessions_are_ended_by_name_or_id_at_once_and_audited(
    database: str, deployed: Callable[..., None], paidup: Paidup, *, by_id: bool
) -> None:
    deployed(DATABASE_URL=database)
    with people(database) as console:
        browser, other = console.log_in(OPERATOR), console.log_in(VIEWER)
        first = next(each for each in console.sessions() if each.person == "ada")
        named = first.id if by_id else "ada"

        said = paidup("console", "sessions", "end", named, "--as", "ops", "--reason", "lost")

        assert "ended 1 session of ada" in said
        assert console.get(browser, "/sample").status_code == 303
        assert console.get(other, "/sample").status_code == 200
        entry = console.audited()[-1]
    assert (entry.actor, entry.action) == ("cli:ops", "console.session_ended")
    assert (entry.target_id, entry.reason) == (first.id, "lost")
    listed = json.loads(paidup("console", "sessions", "list", "--ended", "--json"))["sessions"]
    assert {each["ended_by"] for each in listed} == {"cli:ops", None}


@pytest.mark.servers
def test_ending_no_session_says_so(
    database: str, deployed: Callable[..., None], paidup: Paidup
) -> None:
    deployed(DATABASE_URL=database)

    paidup("console", "sessions", "end", "ada", code=1)

    assert "no session of ada lasts" in paidup.err
