"""Serve a worker's ``/metrics`` and ``/livez``.

The first has the counters of all pool children and the shared state. The second says whether the
supervisor moves, and asks no server for that: one that is away is no reason to restart a worker.
"""

import json
import threading
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socket import AF_INET, AF_INET6, socket
from time import sleep
from typing import Any, Final

import structlog

from runtime.guard import Guard
from runtime.settings import Address
from runtime.telemetry import METRICS_CONTENT_TYPE
from runtime.time_limits import SCRAPE_SECONDS

log = structlog.get_logger(__name__)

REFUSED_PAUSE_SECONDS: Final = 0.1


class MetricsServer:
    """Serves both from a thread; a taken port is a warning and never stops the worker."""

    def __init__(
        self,
        address: Address,
        render: Callable[[], bytes],
        reason_to_restart: Callable[[], str | None],
    ) -> None:
        self._address = address
        self._render = render
        self._reason_to_restart = reason_to_restart
        self._server: ThreadingHTTPServer | None = None

    def start(self) -> Address | None:
        """Listen; return the address (port 0 is any free one), or None if it is taken."""
        try:
            self._server = _server(self._address, _handler(self._render, self._reason_to_restart))
        except OSError as error:
            log.warning("metrics not served", address=str(self._address), error=str(error))
            return None
        threading.Thread(target=self._server.serve_forever, name="metrics", daemon=True).start()
        bound = Address(self._address.host, self._server.server_address[1])
        log.info("metrics served", address=str(bound))
        return bound

    def stop(self) -> None:
        """Stop serving and free the port."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()


def _server(address: Address, handler: type[BaseHTTPRequestHandler]) -> ThreadingHTTPServer:
    family = AF_INET6 if ":" in address.host else AF_INET

    class MetricsHttpServer(ThreadingHTTPServer):
        address_family = family
        daemon_threads = True

        def get_request(self) -> tuple[socket, Any]:
            try:
                return super().get_request()
            except OSError:
                # Too many open files: the connection waits, and would be tried again at once.
                sleep(REFUSED_PAUSE_SECONDS)
                raise

    return MetricsHttpServer((address.host, address.port), handler)


def _handler(
    render: Callable[[], bytes], reason_to_restart: Callable[[], str | None]
) -> type[BaseHTTPRequestHandler]:
    rendering = Guard("metrics")

    class MetricsHandler(BaseHTTPRequestHandler):
        timeout = SCRAPE_SECONDS

        def do_GET(self) -> None:
            match self.path.partition("?")[0]:
                case "/metrics":
                    self._scrape()
                case "/livez":
                    self._tell_life()
                case _:
                    self.send_error(HTTPStatus.NOT_FOUND)

        def _scrape(self) -> None:
            rendered: list[bytes] = []
            if not rendering.run(lambda: rendered.append(render())):
                self.send_error(HTTPStatus.INTERNAL_SERVER_ERROR, "see the log of the worker")
                return
            (body,) = rendered
            self._answer(HTTPStatus.OK, METRICS_CONTENT_TYPE, body)

        def _tell_life(self) -> None:
            reason = reason_to_restart()
            status = HTTPStatus.OK if reason is None else HTTPStatus.SERVICE_UNAVAILABLE
            says = {"status": "alive"} if reason is None else {"status": "stuck", "reason": reason}
            self._answer(status, "application/json", json.dumps(says).encode())

        def _answer(self, status: HTTPStatus, content_type: str, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Log nothing for a scrape."""

    return MetricsHandler
