"""Let requests reach a page: at our address, from our own pages, and with a session.

    request -site-> -same origin-> -session-> Person -> the page, which may require a role

``protect`` puts this in front of every route of a blueprint, so that no page can forget it.
"""

from collections.abc import Iterable
from typing import Any, Final, Protocol
from urllib.parse import quote, urlsplit

from flask import Blueprint, Flask, Response, g, redirect, request, url_for
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError
from werkzeug.wrappers import Response as BaseResponse

from ops.console.access.access_audit import SESSION_ENDED, audit_access
from ops.console.access.credentials import Credentials
from ops.console.access.people import PageRefused, Person, actor_of, person_or_none
from ops.console.access.response_headers import protect_response
from ops.console.access.same_origin import SAFE_METHODS, check_same_origin
from ops.console.access.session_cookie import SessionCookie
from ops.console.access.sessions import (
    SEEN_AGAIN,
    StoredSession,
    end_session,
    find_session,
    see_session,
)
from ops.console.access.site import Site
from ops.console.connections import ask
from ops.console_tokens import Role
from runtime.time_limits import RETRY_AFTER_SECONDS

_MOST_BYTES: Final = 1024 * 1024
"""The largest form; a part of it that is a file would be written to disk first."""

SETTINGS: Final = "settings"
"""What ended a session whose credential is gone."""


class Render(Protocol):
    """Renders a template as a page."""

    def __call__(self, template: str, *, status: int = 200, **values: Any) -> Response:
        """Return the page."""


class PageAccess:
    """Admits the requests for pages in one server process; used by all its threads."""

    def __init__(
        self,
        *,
        site: Site,
        reading: Engine,
        writing: Engine,
        cookie: SessionCookie | None,
        credentials: Credentials,
        render: Render,
    ) -> None:
        self.site = site
        self._reading = reading
        self._writing = writing
        self._cookie = cookie
        self._credentials = credentials
        self._render = render

    def register(
        self, app: Flask, pages: Iterable[Blueprint], *, open_pages: Iterable[Blueprint]
    ) -> None:
        """Register the pages with an application; ``open_pages`` need no session."""
        for blueprint in open_pages:
            blueprint.before_request(self._admit)
            self._answer_from(app, blueprint)
        for blueprint in pages:
            blueprint.before_request(self._admit)
            blueprint.before_request(self._require_person)
            self._answer_from(app, blueprint)
        app.register_error_handler(PageRefused, self._refused)
        app.context_processor(self._template_values)

    def _answer_from(self, app: Flask, blueprint: Blueprint) -> None:
        blueprint.after_request(self._protected)
        app.register_blueprint(blueprint)

    def _admit(self) -> None:
        self.site.check(request)
        check_same_origin(request, self.site.origin_of(request))
        request.max_content_length = _MOST_BYTES
        g.person = None

    def _require_person(self) -> BaseResponse | None:
        g.person = self.find_person()
        return None if g.person else self._to_login()

    def find_person(self) -> Person | None:
        """Return the person whose session the request carries, None without a live session.

        Raises:
            PageRefused: with the status 503; PostgreSQL did not answer.
        """
        secret = self._cookie.read(request) if self._cookie else None
        if secret is None:
            return None
        try:
            session = ask(self._reading, lambda connection: find_session(connection, secret))
            return self._person_of(session) if session else None
        except SQLAlchemyError as error:
            raise unavailable() from error

    def _person_of(self, session: StoredSession) -> Person | None:
        if not self._credentials.still_gives(session.credential, session.role):
            with self._writing.begin() as connection:
                _end_without_credential(connection, session)
            return None
        if session.unseen > SEEN_AGAIN:
            with self._writing.begin() as connection:
                see_session(connection, session)
        return Person(name=session.person, role=Role(session.role), session=session.id)

    def _to_login(self) -> BaseResponse:
        by_htmx = request.headers.get("HX-Request") == "true"
        back = self.site.local_path(self._page_to_return_to(by_htmx=by_htmx))
        login = url_for("login.log_in", next=None if back == "/" else back)
        if by_htmx:
            # The browser would follow a redirect and put the login page into the part of a page.
            return Response(status=401, headers={"HX-Redirect": login})
        return redirect(login, 303)

    def _page_to_return_to(self, *, by_htmx: bool) -> str | None:
        if by_htmx:
            return self._shown_page()
        if request.method not in SAFE_METHODS:
            return None
        return quoted_page(request.path, request.query_string)

    def _shown_page(self) -> str | None:
        """Return the page into which the browser would put the response."""
        try:
            shown = urlsplit(request.headers.get("HX-Current-URL", ""))
        except ValueError:
            return None
        path = shown.path.removeprefix(self.site.prefix)
        return f"{path}?{shown.query}" if shown.query else path

    def _refused(self, refused: PageRefused) -> Response:
        status = refused.code or 400
        response = self._render(
            "errors/show.html", status=status, title=refused.title, says=refused.says
        )
        if refused.retry_after:
            response.headers["Retry-After"] = str(refused.retry_after)
        return response

    def _protected(self, response: Response) -> Response:
        protect_response(response, self.site)
        return response

    def _template_values(self) -> dict[str, Any]:
        return {"person": person_or_none(), "site_warning": self.site.warning}


def _end_without_credential(connection: Connection, session: StoredSession) -> None:
    if end_session(connection, session.id, by=SETTINGS):
        audit_access(
            connection,
            actor=actor_of(session.person),
            action=SESSION_ENDED,
            target=("console_session", session.id),
            reason="its token or rule is no longer in the settings with this role",
        )


def quoted_page(path: str, query: bytes) -> str:
    """Return a path, which was decoded, and its query as a browser writes them."""
    quoted = quote(path)
    return f"{quoted}?{query.decode('latin-1')}" if query else quoted


def unavailable() -> PageRefused:
    """Return the error of a request that PostgreSQL did not answer."""
    return PageRefused(
        503,
        "Not available",
        "PostgreSQL did not answer in time. Load the page again, and run `paidup doctor` if it"
        " stays away.",
        retry_after=RETRY_AFTER_SECONDS,
    )
