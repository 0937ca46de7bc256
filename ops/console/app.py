"""The Flask application of the console: the read API, its OpenAPI document, probes and metrics."""

from collections.abc import Sequence
from importlib.resources import files
from typing import Final

import structlog
from flask import Blueprint, Flask, Response, request
from werkzeug.exceptions import HTTPException
from werkzeug.routing import BaseConverter

from ops.console.access.console_access import ConsoleAccess
from ops.console.access.prefix import PrefixMiddleware, check_prefix
from ops.console.problems import BY_STATUS, NOT_READY, NOT_RECORDED, UNAVAILABLE
from ops.console.read_api import ReadApi
from ops.console.statements_api import StatementsApi
from runtime.http.circuit_breaker import CircuitBreaker
from runtime.http.probes import probe_routes
from runtime.http.problems import respond, respond_to_http_error
from runtime.telemetry import Metrics

_FRONT: Final = """\
This is Paidup's console. It has no pages yet. Its API is described in /openapi.json:

    curl -H "Authorization: Bearer $TOKEN" {url}v1/users/usr_123/entitlements
"""

log = structlog.stdlib.get_logger(__name__)


class UserIdConverter(BaseConverter):
    """Any text in the middle of a path: a user id may contain slashes and any other character."""

    regex = r"(?s:.+)"
    part_isolating = False


def create_app(
    *,
    read_api: ReadApi,
    statements_api: StatementsApi,
    access: ConsoleAccess,
    pages: Sequence[Blueprint] = (),
    metrics: Metrics,
    breaker: CircuitBreaker,
) -> Flask:
    """Build the console as a WSGI application; the caller has to run the breaker's probe."""
    app = Flask("console", static_folder=None)
    # A redirect would send the token to another URL.
    app.url_map.merge_slashes = False
    app.url_map.strict_slashes = False
    app.url_map.converters["user_id"] = UserIdConverter
    description = files("ops.console").joinpath("openapi.json").read_bytes()

    @app.get("/v1/users/<user_id:user_id>/entitlements", provide_automatic_options=False)
    def entitlements(user_id: str) -> Response:
        return read_api.entitlements_of_user(request, user_id)

    @app.get("/v1/entitlements", provide_automatic_options=False)
    def entitlements_of_many() -> Response:
        return read_api.entitlements_of_many(request)

    @app.get("/v1/changes", provide_automatic_options=False)
    def changes() -> Response:
        return read_api.changes(request)

    app.register_blueprint(_statement_routes(statements_api))

    @app.get("/openapi.json", provide_automatic_options=False)
    def described() -> Response:
        return Response(description, mimetype="application/json")

    @app.get("/", provide_automatic_options=False)
    def front() -> Response:
        return Response(_FRONT.format(url=request.host_url), mimetype="text/plain")

    app.register_blueprint(probe_routes(breaker, metrics, not_ready=NOT_READY))
    page_routes(app, access, pages)
    app.register_error_handler(HTTPException, lambda error: respond_to_http_error(error, BY_STATUS))
    app.register_error_handler(Exception, _failed)
    return app


def page_routes(app: Flask, access: ConsoleAccess, pages: Sequence[Blueprint]) -> None:
    """Register the pages, which need a session, and the login, and serve all below the prefix."""
    access.pages.register(app, pages, open_pages=access.login)
    check_prefix(access.pages.site, app.url_map)
    app.wsgi_app = PrefixMiddleware(app.wsgi_app, access.pages.site)  # type: ignore[method-assign]


def _statement_routes(api: StatementsApi) -> Blueprint:
    routes = Blueprint("statements", __name__)

    @routes.post("/v1/grants", provide_automatic_options=False)
    def add_grant() -> Response:
        return api.add_grant(request)

    @routes.post("/v1/grants/<grant>/end", provide_automatic_options=False)
    def end_grant(grant: str) -> Response:
        return api.end_grant(request, grant)

    @routes.post("/v1/links", provide_automatic_options=False)
    def add_link() -> Response:
        return api.add_link(request)

    @routes.post("/v1/links/<link>/end", provide_automatic_options=False)
    def end_link(link: str) -> Response:
        return api.end_link(request, link)

    return routes


def _failed(error: Exception) -> Response:
    log.error("request failed", endpoint=request.endpoint, exc_info=error)
    return respond(NOT_RECORDED if request.method == "POST" else UNAVAILABLE)
