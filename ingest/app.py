"""The Flask application: one endpoint for Stripe, three for machines, and problems for the rest."""

from collections.abc import Callable
from datetime import datetime

import structlog
from flask import Flask, Response, request
from werkzeug.exceptions import HTTPException, MethodNotAllowed

from ingest.gate import Gate
from ingest.probes import probe_routes
from ingest.problems import BAD_REQUEST, BY_STATUS, UNAVAILABLE, respond
from ingest.webhook import Accepts, Publishes, Webhook
from runtime.settings import Settings
from runtime.telemetry import Metrics, SharedState

WEBHOOK_PATH = "/webhooks/stripe"

log = structlog.stdlib.get_logger(__name__)


def create_app(
    *,
    settings: Settings,
    inbox: Accepts,
    wakes: Publishes,
    metrics: Metrics,
    gate: Gate,
    state: Callable[[], SharedState],
    clock: Callable[[], datetime],
) -> Flask:
    """Ingest as a WSGI application; whoever builds it sees to it that the gate is watched."""
    app = Flask("ingest", static_folder=None)
    # Redirecting //webhooks/stripe would make Stripe send a payment's body twice.
    app.url_map.merge_slashes = False
    webhook = Webhook(
        settings=settings, inbox=inbox, wakes=wakes, metrics=metrics, gate=gate, clock=clock
    )

    def stripe() -> Response:
        try:
            return webhook.receive(request)
        except Exception as error:  # noqa: BLE001 - a bug must be counted as a refusal
            return webhook.failed(error)

    app.add_url_rule(
        WEBHOOK_PATH, view_func=stripe, methods=["POST"], provide_automatic_options=False
    )
    app.register_blueprint(probe_routes(gate, metrics, state))
    app.register_error_handler(HTTPException, _refused)
    app.register_error_handler(Exception, _failed)
    return app


def _refused(error: HTTPException) -> Response:
    response = respond(BY_STATUS.get(error.code or 0, BAD_REQUEST))
    if isinstance(error, MethodNotAllowed):
        response.headers["Allow"] = ", ".join(sorted(error.valid_methods or ()))
    return response


def _failed(error: Exception) -> Response:
    log.error("request failed", endpoint=request.endpoint, exc_info=error)
    return respond(UNAVAILABLE)
