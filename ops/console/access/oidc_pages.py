"""The two routes by which people go to an OpenID Connect provider and come back."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, Final

import structlog
from flask import Blueprint, Response, after_this_request, redirect, request
from itsdangerous import BadData, URLSafeTimedSerializer
from werkzeug.wrappers import Response as BaseResponse

from ops.console.access.login_pages import LoginDesk
from ops.console.access.oidc import LoginAttempt, OidcFailed, OidcProvider, OidcUnavailable
from ops.console.access.oidc_people import person_of
from ops.console.access.people import PageRefused
from ops.console.access.session_cookie import cookie_name, set_cookie
from ops.console.access.sessions import NewSession
from ops.console.access.site import OIDC_CALLBACK, Site
from runtime.oidc_settings import RoleRule

ATTEMPT_SECONDS: Final = 600
_MOST_CHARACTERS: Final = 3500
_SALT: Final = b"paidup console login attempt"
_TITLE: Final = "You are not logged in"

log = structlog.stdlib.get_logger(__name__)


class AttemptCookie:
    """The cookie that keeps an attempt in the browser in which it began, for ten minutes."""

    def __init__(self, site: Site, secrets: Sequence[str]) -> None:
        self._site = site
        self.name = cookie_name("login", site)
        self._serializer = URLSafeTimedSerializer(list(reversed(secrets)), salt=_SALT)

    def read(self) -> tuple[LoginAttempt, str] | None:
        """Return the attempt and the page that was wanted, None if there is none in time."""
        value = request.cookies.get(self.name, "")
        if not value or len(value) > _MOST_CHARACTERS:
            return None
        try:
            kept: dict[str, str] = self._serializer.loads(value, max_age=ATTEMPT_SECONDS)
        except BadData:
            return None
        wanted = kept.pop("wanted")
        return LoginAttempt(**kept), self._site.local_path(wanted)

    def write(self, response: BaseResponse, attempt: LoginAttempt, wanted: str) -> None:
        """Set the cookie."""
        value = str(self._serializer.dumps({**asdict(attempt), "wanted": wanted}))
        set_cookie(response, self._site, self.name, value, seconds=ATTEMPT_SECONDS)

    def clear(self, response: BaseResponse) -> None:
        """Take the cookie away: an attempt ends with the first answer."""
        set_cookie(response, self._site, self.name, "", seconds=0)


class OidcDesk:
    """Lets people in by a provider, in one server process; used by all its threads."""

    def __init__(
        self,
        *,
        desk: LoginDesk,
        provider: OidcProvider,
        rules: Sequence[RoleRule],
        cookie: AttemptCookie,
    ) -> None:
        self._desk = desk
        self._provider = provider
        self._rules = rules
        self._cookie = cookie

    def leave(self) -> BaseResponse:
        """Respond with the way to the provider."""
        wanted = self._desk.access.site.local_path(request.args.get("next"))
        attempt = LoginAttempt()
        try:
            away = redirect(self._provider.begin(attempt), 303)
        except OidcUnavailable as error:
            raise self._unavailable(error) from None
        self._cookie.write(away, attempt, wanted)
        return away

    def come_back(self) -> BaseResponse:
        """Respond to a browser that the provider sent back: with a session, or with a refusal."""
        source = self._desk.take_try()
        begun = self._cookie.read()
        if begun is None:
            raise self._refused(source, "no login began in this browser, or too long ago")
        after_this_request(self._without_attempt)
        attempt, wanted = begun
        try:
            claims = self._provider.finish(attempt, request.args)
        except OidcUnavailable as error:
            raise self._unavailable(error) from None
        except OidcFailed as error:
            raise self._refused(source, str(error)) from None
        person = person_of(claims, self._provider.issuer, self._rules)
        if person is None:
            raise self._refused(source, "no rule of PAIDUP_OIDC_ROLES matches", claims)
        new = NewSession(
            person=person.name,
            role=person.credential.role,
            how="oidc",
            credential=person.credential.name,
            source=source,
        )
        return self._desk.start(new, wanted, subject=person.subject)

    def _without_attempt(self, response: Response) -> Response:
        self._cookie.clear(response)
        return response

    def _refused(
        self, source: str, reason: str, claims: Mapping[str, Any] | None = None
    ) -> PageRefused:
        name = str(claims["sub"]) if claims else None
        self._desk.record_failure(source, f"OpenID Connect: {reason}", name)
        return PageRefused(403, _TITLE, f"{reason.capitalize()}. Start again at the login page.")

    def _unavailable(self, error: OidcUnavailable) -> PageRefused:
        log.warning("OpenID Connect provider unavailable", reason=str(error))
        return PageRefused(
            502, _TITLE, f"{str(error).capitalize()}. Try again, or log in with a token."
        )


def oidc_pages(desk: OidcDesk) -> Blueprint:
    """Return the routes."""
    pages = Blueprint("oidc", __name__, template_folder="../templates")
    pages.get("/login/oidc", endpoint="leave")(desk.leave)
    pages.get(OIDC_CALLBACK, endpoint="come_back")(desk.come_back)
    return pages
