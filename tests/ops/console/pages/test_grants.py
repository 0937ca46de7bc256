"""A grant is previewed, made once for its key, shown, and ended the same way."""

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import text

from ops.console_tokens import Role
from tests.ops.console.pages.business_pages import BusinessPages
from tests.ops.console.pages.page_client import HOSTILE
from tests.ops.queries.seeded_database import SeededDatabase

pytestmark = pytest.mark.servers

SHOW, GIVE, END = "Show what would change", "Give this access", "End this grant"


@pytest.fixture
def console(books: SeededDatabase) -> Iterator[BusinessPages]:
    books.tell("onetime")
    pages = BusinessPages(books.url)
    yield pages
    pages.close()


def statements(books: SeededDatabase) -> list[tuple[str, str, str]]:
    query = text("SELECT kind, actor, reason FROM operator_statements ORDER BY made_at")
    with books.engine.connect() as connection:
        return [tuple(row) for row in connection.execute(query)]


def asked(console: BusinessPages, **given: str) -> dict[str, Any]:
    """Return the form on the user's page, filled in."""
    form = console.get("/users/show", user_id="usr_1").main.form(SHOW)
    return {**form, "plan": "premium", "reason": "the outage", **given}


def give(console: BusinessPages, **given: str) -> str:
    """Give the user a grant, and return where that leads."""
    preview = console.post("/users/grants/preview", **asked(console, **given))
    return console.post("/users/grants", **preview.main.form(GIVE)).location


def test_a_preview_says_what_would_change_and_changes_nothing(
    books: SeededDatabase, console: BusinessPages
) -> None:
    preview = console.post("/users/grants/preview", **asked(console))

    assert preview.status == 200
    assert "Nothing has changed yet" in preview.text
    (devices,) = [row for row in preview.main.rows() if row[0] == "max_devices"]
    assert devices[1] == "no"
    assert devices[2].startswith("5, until")
    assert devices[3] == "changes"
    assert statements(books) == []


def test_a_confirmed_grant_is_made_by_the_person_and_shown_on_the_users_page(
    books: SeededDatabase, console: BusinessPages
) -> None:
    page = console.get(give(console))

    assert statements(books) == [("grant", "console:ada", "the outage")]
    assert "The grant is made: plan premium" in page.main.one("div", class_="done").text
    assert "max_devices 5" in page.main.one("p", class_="sentence").text


def test_the_same_form_sent_twice_gives_once(books: SeededDatabase, console: BusinessPages) -> None:
    preview = console.post("/users/grants/preview", **asked(console))
    form = preview.main.form(GIVE)

    first = console.post("/users/grants", **form)
    second = console.post("/users/grants", **form)
    previewed = console.post("/users/grants/preview", **form)

    assert first.location == second.location == previewed.location
    assert len(statements(books)) == 1


def test_a_key_that_stands_for_another_grant_is_refused_with_a_new_one(
    books: SeededDatabase, console: BusinessPages
) -> None:
    form = console.post("/users/grants/preview", **asked(console)).main.form(GIVE)
    console.post("/users/grants", **form)

    other = console.post("/users/grants", **{**form, "lasts": "90d"})

    assert other.status == 422
    again = other.main.form(SHOW)
    assert again["lasts"] == "90d"
    assert again["idempotency_key"] != form["idempotency_key"]
    assert len(statements(books)) == 1


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"reason": " "}, "a reason has 1 to 500 characters"),
        ({"lasts": ""}, "say how long"),
        ({"lasts": "30 parsecs"}, "is no duration: write 12h, 30d"),
        ({"lasts": "2020-01-01"}, "is not after its start or now"),
        ({"plan": "none_such"}, "there is no plan 'none_such'"),
        ({"plan": "", "features": ""}, "either a plan or features: “Plan” or “Features”"),
        ({"plan": "", "features": "max_devices=lots"}, "true, false or a whole number"),
        ({"plan": "", "features": "teleport"}, "or tick “A feature of no plan”"),
        ({"user_id": "usr_nobody"}, "tick “A new user”"),
        ({"idempotency_key": ""}, "its key is none"),
    ],
)
def test_what_is_not_possible_is_said_and_what_was_typed_is_kept(
    books: SeededDatabase, console: BusinessPages, given: dict[str, str], says: str
) -> None:
    page = console.post("/users/grants/preview", **asked(console, **given))

    assert page.status == 422
    assert says.lower() in page.main.one("div", role="alert").text.lower()
    form = page.main.form(SHOW)
    kept = {name: form[name] for name in given if name not in ("plan", "idempotency_key")}
    assert kept == {name: given[name] for name in kept}
    assert statements(books) == []


def test_features_and_an_end_of_any_kind_may_be_given(
    books: SeededDatabase, console: BusinessPages
) -> None:
    give(console, plan="", features="max_devices=9 signals_enabled", lasts="2999-12-31")
    page = console.get(give(console, plan="", features="max_devices=10", lasts="For  good"))

    given = {row[1]: row[4] for row in page.main.rows() if row[0].startswith("grant_")}
    assert given["max_devices 10"] == "for good"
    assert given["max_devices 9signals_enabled"].startswith("3000-01-01")


def test_a_grant_is_ended_with_a_reason_and_a_preview(
    books: SeededDatabase, console: BusinessPages
) -> None:
    page = console.get(give(console))
    asking = console.get(page.main.links()["End"]).main.form(SHOW)

    preview = console.post("/users/grants/end/preview", **{**asking, "reason": "a mistake"})
    assert len(statements(books)) == 1
    form = preview.main.form(END)
    ended = console.get(console.post("/users/grants/end", **form).location)
    again = console.post("/users/grants/end", **form)

    (devices,) = [row for row in preview.main.rows() if row[0] == "max_devices"]
    assert devices[2:] == ["no", "changes"]
    assert statements(books)[1] == ("grant_ended", "console:ada", "a mistake")
    assert "The grant has ended" in ended.main.one("div", class_="done").text
    assert again.status == 303
    assert len(statements(books)) == 2
    once_more = console.post("/users/grants/end", **{**form, "idempotency_key": "another"})
    assert once_more.status == 422


def test_an_end_without_a_reason_is_refused(books: SeededDatabase, console: BusinessPages) -> None:
    page = console.get(give(console))
    asking = console.get(page.main.links()["End"]).main.form(SHOW)

    refused = console.post("/users/grants/end/preview", **asking)

    assert refused.status == 422
    assert "reason" in refused.main.one("div", role="alert").text
    assert console.get("/users/grants/end", grant="grant_none").status == 404


@pytest.mark.parametrize(
    "path",
    ["/users/grants/preview", "/users/grants", "/users/grants/end/preview", "/users/grants/end"],
)
def test_a_viewer_can_give_and_end_nothing(
    books: SeededDatabase, console: BusinessPages, path: str
) -> None:
    form = asked(console)

    assert console.post(path, role=Role.VIEWER, **form).status == 403
    assert console.get("/users/grants/end", role=Role.VIEWER, grant="grant_1").status == 403
    assert statements(books) == []


@pytest.mark.parametrize("text_of_others", HOSTILE)
def test_a_reason_is_shown_as_text_wherever_it_stands(
    books: SeededDatabase, console: BusinessPages, text_of_others: str
) -> None:
    preview = console.post("/users/grants/preview", **asked(console, reason=text_of_others))
    assert " ".join(text_of_others.split()) in preview.text

    page = console.get(console.post("/users/grants", **preview.main.form(GIVE)).location)

    assert " ".join(text_of_others.split()) in page.text
    ending = console.get(page.main.links()["End"])
    assert " ".join(text_of_others.split()) in ending.text
