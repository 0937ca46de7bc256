"""A console with real sessions in PostgreSQL, three pages, and browsers that use it."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import sqlalchemy as sa
from flask import Blueprint, Flask
from flask.testing import FlaskClient
from sqlalchemy import Engine
from werkzeug.test import TestResponse

from models.tables import AuditLog, ConsoleSession
from ops.console.access.console_access import ConsoleAccess, access_of
from ops.console.access.people import current_person, require
from ops.console.connections import hasty_engine
from ops.console_tokens import Role, hashed_entry
from runtime.database.engine import make_engine
from tests.fakes import settings
from tests.ops.console.console_client import Console

OPERATOR, VIEWER, READER = "a-token-of-an-operator", "a-token-of-a-viewer", "a-token-of-a-reader"
SECRET = "a-secret-of-a-test-with-more-than-43-characters"
TOKENS = ",".join(
    (
        hashed_entry("ada", Role.OPERATOR, OPERATOR),
        hashed_entry("sue", Role.VIEWER, VIEWER),
        hashed_entry("app", Role.READER, READER),
    )
)
SAME = {"Sec-Fetch-Site": "same-origin"}
HTTPS = "https://ops.example.com"


OPEN: Final = frozenset(
    {
        *("/login", "/login/oidc", "/login/oidc/callback", "/logout"),
        *("/openapi.json", "/healthz", "/readyz", "/metrics"),
    }
)
"""Paths that need no session, beside assets; those of the API, below /v1, need a token."""


def guarded_methods(app: Flask) -> list[tuple[str, str]]:
    """Return every method and a path of it that must not be reached without a session."""
    adapter = app.url_map.bind("localhost")
    return [
        (method, adapter.build(rule.endpoint, dict.fromkeys(rule.arguments, "1"), method=method))
        for rule in app.url_map.iter_rules()
        if rule.rule not in OPEN and not rule.rule.startswith(("/v1/", "/assets/"))
        if rule.endpoint != "front"  # a text without data
        for method in sorted(rule.methods or ())
        if method != "OPTIONS"
    ]


def sample_pages() -> Blueprint:
    """Return a page to read, a form that writes, and a page with a text in its path."""
    pages = Blueprint("sample", __name__)

    @pages.get("/sample")
    def read() -> str:
        return f"read by {current_person().name}"

    @pages.post("/sample")
    def write() -> str:
        require(Role.OPERATOR)
        return f"written by {current_person().actor}"

    @pages.get("/sample/<text>")
    def about(text: str) -> str:
        return f"about {text}"

    return pages


@dataclass(kw_only=True)
class PeopleConsole:
    """A console for people; ``base`` is the address at which browsers open it."""

    app: Flask
    access: ConsoleAccess
    engine: Engine
    base: str

    def browser(self) -> FlaskClient:
        """Return a browser with its own cookies, on this machine."""
        return self.app.test_client()

    def log_in(self, token: str = OPERATOR, browser: FlaskClient | None = None) -> FlaskClient:
        """Return a browser of a person who is logged in."""
        browser = browser or self.browser()
        response = self.post(browser, "/login", token=token)
        assert response.status_code == 303, response.text
        return browser

    def post(
        self,
        browser: FlaskClient,
        path: str,
        headers: dict[str, str] | None = None,
        **fields: str,
    ) -> TestResponse:
        """Send a form from a page of the console, or with these headers."""
        given = SAME if headers is None else headers
        return browser.post(path, base_url=self.base, data=fields, headers=given)

    def get(self, browser: FlaskClient, path: str, **headers: str) -> TestResponse:
        """Open a page."""
        return browser.get(path, base_url=self.base, headers=headers)

    def sessions(self) -> list[Any]:
        """Return all rows of sessions, oldest first."""
        with self.engine.connect() as connection:
            wanted = sa.select(*ConsoleSession.__table__.c).order_by(ConsoleSession.created_at)
            return list(connection.execute(wanted))

    def audited(self) -> list[Any]:
        """Return all entries of the audit, oldest first."""
        with self.engine.connect() as connection:
            wanted = sa.select(*AuditLog.__table__.c).order_by(AuditLog.id)
            return list(connection.execute(wanted))

    def run(self, statement: str) -> None:
        """Run a statement, such as one that makes a session older."""
        with self.engine.begin() as connection:
            connection.execute(sa.text(statement))


@contextmanager
def people(
    database_url: str, base: str = "http://localhost:8001", **environ: str
) -> Iterator[PeopleConsole]:
    """Yield a console for people; without other settings it is one for this machine alone."""
    given = settings(
        **{
            "DATABASE_URL": database_url,
            "PAIDUP_CONSOLE_TOKENS": TOKENS,
            "PAIDUP_CONSOLE_SECRET": SECRET,
            **environ,
        }
    )
    reading = hasty_engine(given, application_name="test reading", pool_size=1)
    writing = make_engine(given, application_name="test writing")
    access = access_of(given, reading=reading, writing=writing)
    console = Console(tokens=TOKENS, access=access, pages=(sample_pages(),))
    try:
        yield PeopleConsole(app=console.app, access=access, engine=writing, base=base)
    finally:
        reading.dispose()
        writing.dispose()
