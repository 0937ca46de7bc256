"""Every route of every subject: none without a session, and no write for a viewer."""

from collections.abc import Iterator
from contextlib import contextmanager
from uuid import uuid4

import pytest
from flask.testing import FlaskClient

from ops.console.access.console_access import access_of
from ops.console.connections import page_engine
from ops.console.pages.frame import Frame
from ops.console.pages.inbox import PageInbox
from ops.console.pages.overview import observe
from ops.console.pages.subjects import pages_of
from runtime.database.engine import make_engine
from runtime.ledger.deployment import ledger_of
from tests.fakes import settings
from tests.ops.console.access.people_client import (
    READER,
    SAME,
    SECRET,
    TOKENS,
    VIEWER,
    PeopleConsole,
    guarded_methods,
)
from tests.ops.console.console_client import Console

pytestmark = pytest.mark.servers

HERE = "http://localhost:8001"
LOOKS = frozenset({"/events/1", "/plans/diff"})
"""Forms that a viewer may send: they unmask, which is audited, or compare."""
FORM = {"reason": "a test", "confirm": "yes"}


@contextmanager
def every_page(database_url: str) -> Iterator[PeopleConsole]:
    """Yield a console with all pages, real sessions and a real database."""
    given = settings(
        DATABASE_URL=database_url, PAIDUP_CONSOLE_TOKENS=TOKENS, PAIDUP_CONSOLE_SECRET=SECRET
    )
    reading = page_engine(given, pool_size=2)
    writing = make_engine(given, application_name="test")
    frame = Frame(given, reading, ledger_of(given, writing))
    access = access_of(given, reading=reading, writing=writing)
    subjects = pages_of(frame, observe(given), PageInbox(given), writing)
    console = Console(tokens=TOKENS, access=access, pages=subjects)
    try:
        yield PeopleConsole(app=console.app, access=access, engine=writing, base=HERE)
    finally:
        reading.dispose()
        writing.dispose()


@pytest.fixture
def console(database: str) -> Iterator[PeopleConsole]:
    with every_page(database) as built:
        yield built


def test_no_subject_is_missing(console: PeopleConsole) -> None:
    tried = guarded_methods(console.app)

    assert len([path for method, path in tried if method == "GET"]) > 20
    assert len([path for method, path in tried if method == "POST"]) > 5


def test_no_route_is_reached_without_a_session(console: PeopleConsole) -> None:
    headers = {**SAME, "Authorization": f"Bearer {READER}"}
    for method, path in guarded_methods(console.app):
        response = console.browser().open(path, base_url=HERE, method=method, headers=headers)
        assert response.status_code == 303, (method, path)
        assert response.location.startswith("/login"), (method, path)


def test_a_viewer_writes_by_no_route(console: PeopleConsole) -> None:
    answered = sent_to_all(console, console.log_in(VIEWER), SAME)

    open_to_viewers = {route for route, status in answered.items() if status != 403}
    assert open_to_viewers <= {("POST", path) for path in LOOKS}
    assert [entry.action for entry in console.audited()] == ["console.login"]


def test_an_operator_writes_by_no_form_of_another_site(console: PeopleConsole) -> None:
    browser = console.log_in()
    for headers in ({}, {"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}):
        assert set(sent_to_all(console, browser, headers).values()) == {403}

    assert [entry.action for entry in console.audited()] == ["console.login"]


def sent_to_all(
    console: PeopleConsole, browser: FlaskClient, headers: dict[str, str]
) -> dict[tuple[str, str], int]:
    """Send a form to every route that takes one, and return the statuses."""
    return {
        (method, path): browser.open(
            path,
            base_url=HERE,
            method=method,
            headers=headers,
            data={**FORM, "idempotency_key": str(uuid4())},
        ).status_code
        for method, path in guarded_methods(console.app)
        if method not in {"GET", "HEAD"}
    }
