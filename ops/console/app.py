"""The Flask application of process 3: the read API, its description, and what machines ask."""

from importlib.resources import files
from typing import Final

import structlog
from flask import Flask, Response, request
from werkzeug.exceptions import HTTPException
from werkzeug.routing import BaseConverter

from ops.console.problems import BY_STATUS, NOT_READY, UNAVAILABLE
from ops.console.read_api import ReadApi
from runtime.http.circuit_breaker import Gate
from runtime.http.probes import probe_routes
from runtime.http.problems import refused, respond
from runtime.telemetry import Metrics

_FRONT: Final = """\
This is Paidup's console. It has no pages yet, and a read API, which /openapi.json describes:

    curl -H "Authorization: Bearer $TOKEN" {url}v1/users/usr_123/entitlements
"""

log = structlog.stdlib.get_logger(__name__)


class UserIdConverter(BaseConverter):
    """Any text in the middle of a path: an application's user ids may hold slashes and more."""

    regex = r"(?s:.+)"
    part_isolating = False


def create_app(*, read_api: ReadApi, metrics: Metrics, gate: Gate) -> Flask:
    """The console as a WSGI application; whoever builds it sees to it that the gate is watched."""
    app = Flask("console", static_folder=None)
    # Nobody is to be sent elsewhere with his token.
    app.url_map.merge_slashes = False
    app.url_map.converters["user_id"] = UserIdConverter
    description = files("ops.console").joinpath("openapi.json").read_bytes()

    @app.get("/v1/users/<user_id:user_id>/entitlements", provide_automatic_options=False)
    def entitlements(user_id: str) -> Response:
        return read_api.entitlements(request, user_id)

    @app.get("/openapi.json", provide_automatic_options=False)
    def described() -> Response:
        return Response(description, mimetype="application/json")

    @app.get("/", provide_automatic_options=False)
    def front() -> Response:
        return Response(_FRONT.format(url=request.host_url), mimetype="text/plain")

    app.register_blueprint(probe_routes(gate, metrics, not_ready=NOT_READY))
    app.register_error_handler(HTTPException, lambda error: refused(error, BY_STATUS))
    app.register_error_handler(Exception, _failed)
    return app


def _failed(error: Exception) -> Response:
    log.error("request failed", endpoint=request.endpoint, exc_info=error)
    return respond(UNAVAILABLE)
