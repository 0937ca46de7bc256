"""The list of pages holds every page, and no path that does not exist."""

from collections.abc import Iterator

import pytest
from sqlalchemy import Connection, text

from runtime.database.engine import engine_for
from tests.browser import page_paths
from tests.browser.page_paths import NoSample, PageRoute, page_routes, paths_of, routes_of_console

pytestmark = [pytest.mark.browser, pytest.mark.servers]


@pytest.fixture
def connection(database: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Connection]:
    monkeypatch.setattr(
        page_paths,
        "SAMPLES",
        {
            "users": "VALUES ('usr/a b'), ('usr_2')",
            "payments.charge": "VALUES ('ch_1')",
            "nothing": "SELECT 'x' WHERE false",
        },
    )
    engine = engine_for(database, application_name="tests")
    with engine.connect() as connected:
        yield connected
    engine.dispose()


def route(endpoint: str, rule: str) -> PageRoute:
    return PageRoute(endpoint=endpoint, rule=rule)


def test_the_routes_of_programs_are_no_pages() -> None:
    rules = ["/", "/v1/changes", "/users/<user_id>", "/metrics", "/assets/<name>", "/login"]

    pages = page_routes(route("any", rule) for rule in rules)

    assert [page.rule for page in pages] == ["/", "/users/<user_id>", "/login"]


def test_the_routes_are_those_of_the_console_that_would_be_served(database: str) -> None:
    rules = {page.rule for page in routes_of_console({"DATABASE_URL": database})}

    assert "/" in rules
    assert not any(rule.startswith("/v1") for rule in rules)


def test_a_page_without_parameters_has_one_path(connection: Connection) -> None:
    assert paths_of([route("jobs.show_all", "/jobs")], connection, each=2) == {"/jobs": ["/jobs"]}


def test_a_page_has_the_ids_that_were_found_quoted(connection: Connection) -> None:
    users = route("users.show", "/users/<user_id:user>")

    (paths,) = paths_of([users], connection, each=2).values()

    assert sorted(paths) == ["/users/usr%2Fa%20b", "/users/usr_2"]


def test_a_parameter_may_have_samples_of_its_own(connection: Connection) -> None:
    charge = route("payments.show_charge", "/charges/<charge>")

    assert paths_of([charge], connection) == {"/charges/<charge>": ["/charges/ch_1"]}


def test_a_page_with_a_query_is_one_more(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page_paths, "QUERIES", {"search.find": ("q=a",)})

    paths = paths_of([route("search.find", "/search")], connection)

    assert paths == {"/search": ["/search"], "/search?q=a": ["/search?q=a"]}


@pytest.mark.parametrize(
    ("endpoint", "reason"),
    [
        ("unknown.show", r"/x/<id> \(unknown\.show\): add unknown\.id to SAMPLES"),
        ("nothing.show", r"/x/<id> \(nothing\.show\): .* found nothing"),
    ],
)
def test_a_page_of_which_nothing_can_be_shown_is_named(
    connection: Connection, endpoint: str, reason: str
) -> None:
    with pytest.raises(NoSample, match=reason):
        paths_of([route(endpoint, "/x/<id>")], connection)


@pytest.mark.parametrize("subject", page_paths.SAMPLES)
def test_every_sample_is_a_query_of_the_schema(database: str, subject: str) -> None:
    engine = engine_for(database, application_name="tests")
    with engine.connect() as connected:
        connected.execute(text(page_paths.SAMPLES[subject]))
    engine.dispose()
