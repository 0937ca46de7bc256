"""The pages by which people log in with a token, and log out.

Each login makes a new session, even if the browser sent one, so that no one can be handed a session
that another person knows.
"""

from collections.abc import Callable, Sequence
from math import ceil
from typing import Final, TypeVar

from flask import Blueprint, Response, redirect, request
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError
from werkzeug.wrappers import Response as BaseResponse

from ops.console.access.access_audit import (
    LOGIN,
    LOGOUT,
    SESSION_ENDED,
    audit_access,
    close_windows,
    record_failed_login,
)
from ops.console.access.credentials import LEAST_ROLE, Credentials, credential_of
from ops.console.access.login_limits import LoginLimits, source_of
from ops.console.access.page_access import PageAccess, Render, unavailable
from ops.console.access.people import PageRefused, Person, actor_of
from ops.console.access.session_cookie import SessionCookie
from ops.console.access.sessions import NewSession, StartedSession, end_session, start_session
from ops.console_tokens import Token
from runtime.http.client_address import client_address
from runtime.settings import Network

_MOST_BYTES: Final = 16_384
_MOST_FIELDS: Final = 10

Result = TypeVar("Result")

LOGIN_IS_OFF: Final = (
    "Log in is off: set PAIDUP_CONSOLE_SECRET_FILE to a file with a secret, as"
    " `openssl rand -base64 32` prints one, and restart the console."
)
NO_PEOPLE: Final = (
    "No person can log in yet: run `paidup console token NAME --role operator`, add the setting"
    " that it prints to PAIDUP_CONSOLE_TOKENS, and restart the console."
)


class LoginDesk:
    """Lets people in and out in one server process; used by all its threads."""

    def __init__(
        self,
        *,
        access: PageAccess,
        cookie: SessionCookie | None,
        credentials: Credentials,
        limits: LoginLimits,
        writing: Engine,
        render: Render,
        trusted_proxies: Sequence[Network],
        provider_name: str | None = None,
    ) -> None:
        self.access = access
        self._cookie = cookie
        self._credentials = credentials
        self._limits = limits
        self._writing = writing
        self._render = render
        self._trusted_proxies = trusted_proxies
        self._provider_name = provider_name

    def show(self) -> BaseResponse:
        """Respond with the form, or with the page that a person wanted who is logged in."""
        wanted = self.access.site.local_path(request.args.get("next"))
        if self.access.find_person():
            return self._go_to(wanted)
        return self._form(wanted)

    def log_in(self) -> BaseResponse:
        """Respond to the form: with a session, or with the form and what is wrong."""
        request.max_content_length, request.max_form_parts = _MOST_BYTES, _MOST_FIELDS
        wanted = self.access.site.local_path(request.form.get("next"))
        presented = request.form.get("token", "").strip()
        if self._cookie is None or not presented:
            return self._form(wanted, error="Enter your token.", status=422)
        source = self.take_try()
        token = self._credentials.find(presented)
        if token is None or not token.role.may_act_as(LEAST_ROLE):
            return self._turn_away(source, token, wanted)
        new = NewSession(
            person=token.name,
            role=token.role,
            how="token",
            credential=credential_of(token),
            source=source,
        )
        return self.start(new, wanted)

    def log_out(self) -> BaseResponse:
        """End the session, if there is one, and respond with the way to the form."""
        person = self.access.find_person()
        if person:
            self._write(lambda connection: _log_out(connection, person))
        response = self._go_to("/login")
        if self._cookie:
            self._cookie.clear(response)
        return response

    def take_try(self) -> str:
        """Use up a try of the source of this request, and return the source.

        Raises:
            PageRefused: with the status 429.
        """
        forwarded = request.headers.get("X-Forwarded-For", "")
        source = source_of(client_address(request.remote_addr, forwarded, self._trusted_proxies))
        if wait := self._limits.take(source):
            seconds = ceil(wait)
            raise PageRefused(
                429,
                "Too many tries",
                f"Wait {seconds} {'second' if seconds == 1 else 'seconds'}, then log in again.",
                retry_after=seconds,
            )
        return source

    def start(self, new: NewSession, wanted: str, *, subject: str | None = None) -> BaseResponse:
        """Start a session, end the one that the browser had, and go to the page.

        ``subject`` is the id of the person at a provider, for the audit.
        """
        assert self._cookie is not None, "log in is off"  # noqa: S101 - for types
        before = self.access.find_person()
        started = self._write(lambda connection: _log_in(connection, new, before, subject))
        self._limits.succeeded(new.source)
        response = self._go_to(wanted)
        self._cookie.write(response, started.secret)
        return response

    def record_failure(self, source: str, reason: str, name: str | None = None) -> None:
        """Audit a login that failed."""

        def write(connection: Connection) -> None:
            close_windows(connection)
            record_failed_login(connection, source=source, reason=reason, name=name)

        self._write(write)

    def _turn_away(self, source: str, token: Token | None, wanted: str) -> BaseResponse:
        if token is None:
            self.record_failure(source, "unknown token")
            return self._form(wanted, error="No such token is known here.", status=403)
        self.record_failure(source, f"a token of the role {token.role}", token.name)
        error = (
            f"This token has the role {token.role}, which is for applications. To log in, you need"
            " one with the role viewer or operator."
        )
        return self._form(wanted, error=error, status=403)

    def _form(self, wanted: str, *, error: str | None = None, status: int = 200) -> Response:
        missing = None
        if self._cookie is None:
            missing, error, status = LOGIN_IS_OFF, None, 503
        elif not self._credentials.has_people:
            missing, error, status = NO_PEOPLE, None, 503
        return self._render(
            "access/login.html",
            status=status,
            wanted=wanted,
            error=error,
            missing=missing,
            by_token=self._credentials.has_tokens,
            provider=self._provider_name,
        )

    def _go_to(self, path: str) -> BaseResponse:
        return redirect(self.access.site.href(path), 303)

    def _write(self, work: Callable[[Connection], Result]) -> Result:
        try:
            with self._writing.begin() as connection:
                return work(connection)
        except SQLAlchemyError as error:
            raise unavailable() from error


def login_pages(desk: LoginDesk) -> Blueprint:
    """Return the routes of the pages."""
    pages = Blueprint("login", __name__)

    @pages.get("/login")
    def log_in() -> BaseResponse:
        return desk.show()

    @pages.post("/login")
    def start() -> BaseResponse:
        return desk.log_in()

    @pages.post("/logout")
    def log_out() -> BaseResponse:
        return desk.log_out()

    return pages


def _log_in(
    connection: Connection, new: NewSession, before: Person | None, subject: str | None
) -> StartedSession:
    close_windows(connection)
    if before and end_session(connection, before.session, by=before.actor):
        _audit_end(connection, before, SESSION_ENDED, reason="logged in again")
    started = start_session(connection, new)
    audit_access(
        connection,
        actor=actor_of(new.person),
        action=LOGIN,
        target=("console_session", started.id),
        after={"role": new.role, "how": new.how, "source": new.source}
        | ({"subject": subject} if subject else {}),
    )
    return started


def _log_out(connection: Connection, person: Person) -> None:
    if end_session(connection, person.session, by=person.actor):
        _audit_end(connection, person, LOGOUT)


def _audit_end(
    connection: Connection, person: Person, action: str, *, reason: str | None = None
) -> None:
    audit_access(
        connection,
        actor=person.actor,
        action=action,
        target=("console_session", person.session),
        reason=reason,
    )
