"""Build what decides about people in one process of the console, as its settings say."""

import threading
import time
from dataclasses import dataclass
from typing import Final

from flask import Blueprint, Response, render_template
from sqlalchemy import Engine

from ops.console.access.access_audit import close_windows
from ops.console.access.credentials import Credentials
from ops.console.access.login_limits import LoginLimits
from ops.console.access.login_pages import LoginDesk, login_pages
from ops.console.access.oidc import OidcProvider
from ops.console.access.oidc_pages import AttemptCookie, OidcDesk, oidc_pages
from ops.console.access.oidc_people import credentials_by
from ops.console.access.page_access import PageAccess, Render
from ops.console.access.session_cookie import SessionCookie
from ops.console.access.sessions import LIFETIME
from ops.console.access.site import Site
from ops.console.tokens import read_tokens
from runtime.guard import start_loop
from runtime.settings import Settings

_CLOSE_SECONDS: Final = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsoleAccess:
    """The access to the pages, and the pages by which people log in and out."""

    pages: PageAccess
    login: tuple[Blueprint, ...]


def render_page(template: str, *, status: int = 200, **values: object) -> Response:
    """Return a template as a response."""
    return Response(render_template(template, **values), status, mimetype="text/html")


def access_of(
    settings: Settings, *, reading: Engine, writing: Engine, render: Render = render_page
) -> ConsoleAccess:
    """Return the access to the pages of a deployment.

    ``reading`` is an engine of ``hasty_engine``, ``writing`` one of ``make_engine``.
    """
    site = Site.of(settings)
    provider = _provider(settings, site)
    by_provider = credentials_by(provider.issuer, settings.oidc_roles) if provider else ()
    credentials = Credentials(read_tokens(settings.console_tokens), by_provider)
    cookie = None
    if settings.console_secrets:
        seconds = round(LIFETIME.total_seconds())
        cookie = SessionCookie(site, settings.console_secrets, lifetime_seconds=seconds)
    access = PageAccess(
        site=site,
        reading=reading,
        writing=writing,
        cookie=cookie,
        credentials=credentials,
        render=render,
    )
    desk = LoginDesk(
        access=access,
        cookie=cookie,
        credentials=credentials,
        limits=LoginLimits(time.monotonic),
        writing=writing,
        render=render,
        trusted_proxies=settings.trusted_proxies,
        provider_name=provider.name if provider else None,
    )
    return ConsoleAccess(pages=access, login=(login_pages(desk), *_by(provider, desk, settings)))


def _provider(settings: Settings, site: Site) -> OidcProvider | None:
    """Return the provider; without a secret for cookies no one could come back from it."""
    issuer, client_id, redirect_uri = (
        settings.oidc_issuer,
        settings.oidc_client_id,
        site.redirect_uri,
    )
    if not (issuer and client_id and redirect_uri and settings.console_secrets):
        return None
    return OidcProvider(
        issuer=issuer,
        client_id=client_id,
        client_secret=settings.oidc_client_secret,
        redirect_uri=redirect_uri,
        monotonic=time.monotonic,
    )


def _by(
    provider: OidcProvider | None, desk: LoginDesk, settings: Settings
) -> tuple[Blueprint, ...]:
    if provider is None:
        return ()
    cookie = AttemptCookie(desk.access.site, settings.console_secrets)
    return (
        oidc_pages(
            OidcDesk(desk=desk, provider=provider, rules=settings.oidc_roles, cookie=cookie)
        ),
    )


def start_closing_windows(writing: Engine) -> None:
    """Start the thread that audits the numbers of failed logins when their minute is over."""

    def close() -> None:
        with writing.begin() as connection:
            close_windows(connection)

    start_loop("audit-windows", close, pause=lambda: _CLOSE_SECONDS, stopped=threading.Event())
