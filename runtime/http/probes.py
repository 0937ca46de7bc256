"""What machines ask about this process: is it alive, may it have traffic, what has it counted."""

from flask import Blueprint, Response
from prometheus_client.registry import Collector

from runtime.http.circuit_breaker import Gate
from runtime.http.problems import Problem, respond
from runtime.telemetry import METRICS_CONTENT_TYPE, Metrics, render


def probe_routes(gate: Gate, metrics: Metrics, *shared: Collector, not_ready: Problem) -> Blueprint:
    """``/healthz``, ``/readyz`` and ``/metrics``; none of them waits for the server behind us."""
    routes = Blueprint("probes", __name__)

    @routes.get("/healthz")
    def alive() -> dict[str, str]:
        return {"status": "alive"}

    @routes.get("/readyz")
    def ready() -> dict[str, str] | Response:
        if unsafe := gate.unsafe():
            return respond(not_ready, unsafe=list(unsafe))
        return {"status": "ready"}

    @routes.get("/metrics")
    def counted() -> Response:
        return Response(render(metrics, *shared), content_type=METRICS_CONTENT_TYPE)

    return routes
