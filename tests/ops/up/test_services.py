"""A service that never becomes ready says what its probe named."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from ops.up.services import IngestService

pytestmark = pytest.mark.servers


@contextmanager
def answering(status: int, body: bytes) -> Iterator[str]:
    """Serve one answer on loopback, and yield its URL."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Write nothing."""

    server = HTTPServer(("127.0.0.1", 0), Answer)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/readyz"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.parametrize(
    ("status", "body", "ready", "why"),
    [
        (200, b'{"status": "ready"}', True, ""),
        (
            503,
            b'{"unsafe": ["Redis is in cluster mode", "full"]}',
            False,
            "Redis is in cluster mode; full",
        ),
        (503, b'{"detail": "no list"}', False, ""),
        (503, b"[]", False, ""),
        (404, b"not json", False, ""),
    ],
)
def test_the_probe_says_why_it_is_not_ready(
    tmp_path: Path, status: int, body: bytes, *, ready: bool, why: str
) -> None:
    with answering(status, body) as url:
        service = IngestService(data_dir=tmp_path, environ={}, ready_url=url)

        assert service.is_ready() is ready
        assert service.why_not_ready() == why


def test_a_service_that_does_not_listen_yet_has_no_reason(tmp_path: Path) -> None:
    with answering(200, b"{}") as url:
        pass
    service = IngestService(data_dir=tmp_path, environ={}, ready_url=url)

    assert not service.is_ready()
    assert service.why_not_ready() == ""
