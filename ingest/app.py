"""The Flask application: one endpoint for Stripe, three for machines, and problems for the rest."""

from collections.abc import Callable
from datetime import datetime

from flask import Flask, Response, request
from werkzeug.exceptions import HTTPException, MethodNotAllowed

from ingest.gate import Gate
from ingest.probes import probe_routes
from ingest.problems import BAD_REQUEST, BY_STATUS, respond
from ingest.webhook import Accepts, Publishes, Webhook
from runtime.settings import Settings
from runtime.telemetry import Metrics, SharedState

WEBHOOK_PATH = "/webhooks/stripe"


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
        return webhook.receive(request)

    app.add_url_rule(
        WEBHOOK_PATH, view_func=stripe, methods=["POST"], provide_automatic_options=False
    )
    app.register_blueprint(probe_routes(gate, metrics, state))
    app.register_error_handler(HTTPException, _refused)
    app.register_error_handler(Exception, webhook.failed)
    return app


def _refused(error: HTTPException) -> Response:
    response = respond(BY_STATUS.get(error.code or 0, BAD_REQUEST))
    if isinstance(error, MethodNotAllowed):
        response.headers["Allow"] = ", ".join(sorted(error.valid_methods or ()))
    return response
