"""What machines ask about this process: is it alive, may it have traffic, what has it counted."""

from collections.abc import Callable

from flask import Blueprint, Response

from ingest.problems import NOT_READY
from runtime.telemetry import (
    METRICS_CONTENT_TYPE,
    Metrics,
    SharedState,
    SharedStateCollector,
    render,
)
from runtime.web.gate import Gate
from runtime.web.problems import respond


def probe_routes(gate: Gate, metrics: Metrics, state: Callable[[], SharedState]) -> Blueprint:
    """``/healthz``, ``/readyz`` and ``/metrics``; none of them waits for Redis."""
    routes = Blueprint("probes", __name__)

    @routes.get("/healthz")
    def alive() -> dict[str, str]:
        return {"status": "alive"}

    @routes.get("/readyz")
    def ready() -> dict[str, str] | Response:
        if unsafe := gate.unsafe():
            return respond(NOT_READY, unsafe=list(unsafe))
        return {"status": "ready"}

    @routes.get("/metrics")
    def counted() -> Response:
        scrape = render(metrics, SharedStateCollector(state))
        return Response(scrape, content_type=METRICS_CONTENT_TYPE)

    return routes
