"""Pages on real servers, asked by a person who is logged in as the test says."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files
from typing import Any

from flask import Blueprint, Flask, g
from werkzeug.exceptions import HTTPException
from werkzeug.test import TestResponse

from ops.console.access.people import Person
from ops.console.app import UserIdConverter
from ops.console.connections import page_engine
from ops.console.pages.error_pages import ErrorPages
from ops.console.pages.frame import Frame
from ops.console.pages.routes import register_pages
from ops.console_tokens import Role
from runtime.database.engine import make_engine
from runtime.ledger.deployment import ledger_of
from runtime.settings import Settings
from tests.ops.console.pages.page_html import Element, check_page, read_html

FRAME_ENDPOINTS = ("overview.show", "search.find", "login.log_out")
"""What every page links to."""

HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' onmouseover='alert(1)",
    "javascript:alert(1)",
    "{{ 7 * 7 }}{% raw %}",
    "https://evil.example/",
)
"""Texts of others that must stay texts."""


@dataclass(frozen=True, kw_only=True)
class ShownPage:
    """A response of the console; ``tree`` is its parsed page."""

    response: TestResponse

    @property
    def status(self) -> int:
        return self.response.status_code

    @property
    def location(self) -> str:
        """Where a redirect leads."""
        assert self.status == 303, self.response.text
        return self.response.headers["Location"]

    @cached_property
    def tree(self) -> Element:
        found = read_html(self.response.text)
        check_page(found)
        return found

    @property
    def main(self) -> Element:
        """What the page adds to the frame."""
        return self.tree.one("main")

    @property
    def text(self) -> str:
        return self.main.text


class PageClient:
    """Asks for pages; ``pages`` makes their blueprints with the frame."""

    def __init__(self, settings: Settings, pages: Callable[[Frame], Sequence[Blueprint]]) -> None:
        self._reading = page_engine(settings, pool_size=2)
        self._writing = make_engine(settings, application_name="tests", pool_size=2)
        self.frame = Frame(settings, self._reading, ledger_of(settings, self._writing))
        self._app = _make_app(self.frame, pages(self.frame))
        self._client = self._app.test_client()
        self._person: Person | None = None
        self._app.before_request(self._log_in)

    def close(self) -> None:
        self._reading.dispose()
        self._writing.dispose()

    def get(
        self, path: str, *, role: Role = Role.OPERATOR, name: str = "ada", **given: Any
    ) -> ShownPage:
        """Get a page; ``given`` goes into its query."""
        self._person = Person(name=name, role=role, session="1")
        return ShownPage(response=self._client.get(path, query_string=given or None))

    def post(
        self, path: str, *, role: Role = Role.OPERATOR, name: str = "ada", **form: Any
    ) -> ShownPage:
        """Send a form; the redirect that answers it is not followed."""
        self._person = Person(name=name, role=role, session="1")
        return ShownPage(response=self._client.post(path, data=form))

    def _log_in(self) -> None:
        g.person = self._person


def _make_app(frame: Frame, pages: Sequence[Blueprint]) -> Flask:
    app = Flask(
        "console", static_folder=None, template_folder=str(files("ops.console") / "templates")
    )
    app.testing = True
    app.url_map.merge_slashes = False
    app.url_map.converters["user_id"] = UserIdConverter
    given = {each.name for each in pages}
    register_pages(app, frame, [*pages, *_other_pages(given)])
    errors = ErrorPages(frame)
    app.register_error_handler(HTTPException, errors.respond)
    return app


def _other_pages(given: set[str]) -> list[Blueprint]:
    others = []
    for endpoint in FRAME_ENDPOINTS:
        subject, _, action = endpoint.partition(".")
        if subject not in given:
            other = Blueprint(subject, __name__)
            other.add_url_rule(
                f"/{subject}", action, lambda: "another page", methods=["GET", "POST"]
            )
            others.append(other)
    return others
