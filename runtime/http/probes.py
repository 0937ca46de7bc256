"""Serve the routes for machines: liveness, readiness and metrics."""

from flask import Blueprint, Response
from prometheus_client.registry import Collector

from runtime.http.circuit_breaker import CircuitBreaker
from runtime.http.problems import Problem, respond
from runtime.telemetry import METRICS_CONTENT_TYPE, Metrics, render


def probe_routes(
    breaker: CircuitBreaker, metrics: Metrics, *shared: Collector, not_ready: Problem
) -> Blueprint:
    """Return ``/healthz``, ``/readyz`` and ``/metrics``; none waits for the server behind us."""
    routes = Blueprint("probes", __name__)

    @routes.get("/healthz")
    def alive() -> dict[str, str]:
        return {"status": "alive"}

    @routes.get("/readyz")
    def ready() -> dict[str, str] | Response:
        if unsafe := breaker.unsafe():
            return respond(not_ready, unsafe=list(unsafe))
        return {"status": "ready"}

    @routes.get("/metrics")
    def scrape() -> Response:
        return Response(render(metrics, *shared), content_type=METRICS_CONTENT_TYPE)

    return routes
