"""Pages on real servers, asked by a person who is logged in as the test says."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files
from typing import Any

from flask import Blueprint, Flask, g
from sqlalchemy import Engine
from werkzeug.test import TestResponse

from ops.console.access.console_access import ConsoleAccess, render_page
from ops.console.access.credentials import Credentials
from ops.console.access.page_access import PageAccess
from ops.console.access.people import Person
from ops.console.access.site import Site
from ops.console.app import UserIdConverter
from ops.console.connections import page_engine
from ops.console.pages.frame import Frame
from ops.console.pages.routes import ConsolePages
from ops.console_tokens import Role
from runtime.database.engine import make_engine
from runtime.ledger.deployment import ledger_of
from runtime.settings import Settings
from tests.ops.console.pages.other_pages import other_pages
from tests.ops.console.pages.page_html import Element, check_page, read_html

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
        """The URL to which a redirect leads."""
        assert self.status == 303, self.response.text
        return self.response.headers["Location"]

    @cached_property
    def tree(self) -> Element:
        found = read_html(self.response.text)
        check_page(found)
        return found

    @property
    def main(self) -> Element:
        """The part that the page adds to the frame."""
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
        self._access = _access_of(settings, self._reading, self._writing)
        self._client = _make_app(self.frame, self._access, pages(self.frame)).test_client()

    def close(self) -> None:
        self._reading.dispose()
        self._writing.dispose()

    def get(
        self, path: str, *, role: Role = Role.OPERATOR, name: str = "ada", **given: Any
    ) -> ShownPage:
        """Get a page; ``given`` goes into its query."""
        self._access.person = Person(name=name, role=role, session="1")
        return ShownPage(response=self._client.get(path, query_string=given or None))

    def post(
        self, path: str, *, role: Role = Role.OPERATOR, name: str = "ada", **form: Any
    ) -> ShownPage:
        """Send a form; the redirect that answers it is not followed."""
        self._access.person = Person(name=name, role=role, session="1")
        return ShownPage(response=self._client.post(path, data=form))


class GivenPerson(PageAccess):
    """Admits every request as one of the person that a test gives."""

    person: Person | None = None

    def find_person(self) -> Person | None:
        return self.person

    def _admit(self) -> None:
        g.person = None


def _access_of(settings: Settings, reading: Engine, writing: Engine) -> GivenPerson:
    return GivenPerson(
        site=Site.of(settings),
        reading=reading,
        writing=writing,
        cookie=None,
        credentials=Credentials(()),
        render=render_page,
    )


def _make_app(frame: Frame, access: GivenPerson, pages: Sequence[Blueprint]) -> Flask:
    app = Flask(
        "console", static_folder=None, template_folder=str(files("ops.console") / "templates")
    )
    app.testing = True
    app.url_map.merge_slashes = False
    app.url_map.converters["user_id"] = UserIdConverter
    (login,) = other_pages((), "login.log_out")
    others = other_pages(pages, "overview.show", "search.find")
    ConsolePages(
        frame=frame,
        access=ConsoleAccess(pages=access, login=(login,)),
        subjects=[*pages, *others],
    ).register(app)
    return app
