"""Build the Flask application: the webhook endpoint, the probes, and problems for the rest."""

from collections.abc import Callable, Iterable
from collections.abc import Set as AbstractSet
from datetime import datetime
from wsgiref.types import StartResponse, WSGIEnvironment

import structlog
from flask import Flask, Response, request
from werkzeug.exceptions import HTTPException

from ingest.ports import AcceptingInbox
from ingest.problems import BY_STATUS, NOT_READY, UNAVAILABLE
from ingest.responses import WsgiResponse
from ingest.signature_counter import SignatureCounter
from ingest.webhook import Webhook
from ingest.wrong_paths import WrongPathCounter
from runtime import webhook_path
from runtime.broker import Publish
from runtime.http.circuit_breaker import CircuitBreaker
from runtime.http.probes import probe_routes
from runtime.http.problems import respond, respond_to_http_error
from runtime.settings import Settings
from runtime.telemetry import DiskCollector, Metrics, SharedState, SharedStateCollector

log = structlog.stdlib.get_logger(__name__)

Receive = Callable[[WSGIEnvironment], WsgiResponse]
"""Answer one delivery; no error leaves it."""


def create_app(
    *,
    settings: Settings,
    inbox: AcceptingInbox,
    publish: Publish,
    metrics: Metrics,
    breaker: CircuitBreaker,
    state: Callable[[], SharedState],
    clock: Callable[[], datetime],
    wrong_paths: WrongPathCounter,
    signatures: SignatureCounter,
) -> Flask:
    """Return ingest as a WSGI application.

    The caller must call ``breaker.check`` and the reports of both counters again and again.
    """
    app = Flask("ingest", static_folder=None)
    # A redirect of //webhooks/stripe would make Stripe send the body twice.
    app.url_map.merge_slashes = False
    webhook = Webhook(
        settings=settings,
        inbox=inbox,
        publish=publish,
        metrics=metrics,
        breaker=breaker,
        clock=clock,
        signatures=signatures,
    )
    _add_endpoint(app, _receiving(webhook), settings.webhook_path, wrong_paths)
    shared = (SharedStateCollector(state), DiskCollector(settings.data_dir))
    app.register_blueprint(probe_routes(breaker, metrics, *shared, not_ready=NOT_READY))
    app.register_error_handler(HTTPException, lambda error: respond_to_http_error(error, BY_STATUS))
    app.register_error_handler(Exception, _failed)
    return app


def _add_endpoint(app: Flask, receive: Receive, path: str, wrong_paths: WrongPathCounter) -> None:
    paths = webhook_path.spellings(path)

    def view() -> WsgiResponse:
        return receive(request.environ)

    for each in paths:
        app.add_url_rule(each, "stripe", view, methods=["POST"], provide_automatic_options=False)
    others = _counting_wrong_paths(wrong_paths, paths, app.wsgi_app)
    app.wsgi_app = _deliveries_first(receive, paths, others)  # type: ignore[method-assign,assignment]


def _receiving(webhook: Webhook) -> Receive:
    def receive(environ: WSGIEnvironment) -> WsgiResponse:
        try:
            return webhook.receive(environ)
        except Exception as error:  # noqa: BLE001 - counts a bug as a refusal
            return webhook.failed(error)

    return receive


def _deliveries_first(
    receive: Receive,
    paths: AbstractSet[str],
    others: WsgiResponse,
) -> WsgiResponse:
    """Serve deliveries without Flask, whose routing took a fifth of their cost."""

    def serve(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if environ["REQUEST_METHOD"] == "POST" and environ.get("PATH_INFO") in paths:
            return receive(environ)(environ, start_response)
        return others(environ, start_response)

    return serve


def _counting_wrong_paths(
    wrong_paths: WrongPathCounter, paths: AbstractSet[str], others: WsgiResponse
) -> WsgiResponse:
    """Count what Stripe sends elsewhere: its deliveries alone bear this header."""

    def serve(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        path = str(environ.get("PATH_INFO", ""))
        if "HTTP_STRIPE_SIGNATURE" in environ and path not in paths:
            wrong_paths.add(path)
        return others(environ, start_response)

    return serve


def _failed(error: Exception) -> Response:
    log.error("request failed", endpoint=request.endpoint, exc_info=error)
    return respond(UNAVAILABLE)
