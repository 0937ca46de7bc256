"""The Flask application of the console: the read API, its document, pages, probes and metrics."""

from collections.abc import Sequence
from importlib.resources import files

import structlog
from flask import Blueprint, Flask, Response, request
from prometheus_client.registry import Collector
from werkzeug.routing import BaseConverter

from ops.console.pages.error_pages import wants_page
from ops.console.pages.routes import ConsolePages
from ops.console.problems import NOT_READY, NOT_RECORDED, UNAVAILABLE
from ops.console.read_api import ReadApi
from ops.console.statements_api import StatementsApi
from runtime.http.circuit_breaker import CircuitBreaker
from runtime.http.probes import probe_routes
from runtime.http.problems import respond
from runtime.telemetry import Metrics

log = structlog.stdlib.get_logger(__name__)


class UserIdConverter(BaseConverter):
    """Any text in the middle of a path: a user id may contain slashes and any other character."""

    regex = r"(?s:.+)"
    part_isolating = False


def create_app(
    *,
    read_api: ReadApi,
    statements_api: StatementsApi,
    pages: ConsolePages,
    metrics: Metrics,
    breaker: CircuitBreaker,
    shared: Sequence[Collector] = (),
) -> Flask:
    """Build the console as a WSGI application; the caller has to run the breaker's probe."""
    templates = str(files("ops.console") / "templates")
    app = Flask("console", static_folder=None, template_folder=templates)
    # A redirect would send the token to another URL.
    app.url_map.merge_slashes = False
    app.url_map.strict_slashes = False
    app.url_map.converters["user_id"] = UserIdConverter
    description = files("ops.console").joinpath("openapi.json").read_bytes()

    app.register_blueprint(_read_routes(read_api))
    app.register_blueprint(_statement_routes(statements_api))

    @app.get("/openapi.json", provide_automatic_options=False)
    def described() -> Response:
        return Response(description, mimetype="application/json")

    app.register_blueprint(probe_routes(breaker, metrics, *shared, not_ready=NOT_READY))
    errors = pages.register(app)

    @app.errorhandler(Exception)
    def failed(error: Exception) -> Response:
        if wants_page(request):
            return errors.respond_to_bug(error)
        log.error("request failed", endpoint=request.endpoint, exc_info=error)
        return respond(NOT_RECORDED if request.method == "POST" else UNAVAILABLE)

    return app


def _read_routes(read_api: ReadApi) -> Blueprint:
    routes = Blueprint("reads", __name__)

    @routes.get("/v1/users/<user_id:user_id>/entitlements", provide_automatic_options=False)
    def entitlements(user_id: str) -> Response:
        return read_api.entitlements_of_user(request, user_id)

    @routes.get("/v1/entitlements", provide_automatic_options=False)
    def entitlements_of_many() -> Response:
        return read_api.entitlements_of_many(request)

    @routes.get("/v1/changes", provide_automatic_options=False)
    def changes() -> Response:
        return read_api.changes(request)

    return routes


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
