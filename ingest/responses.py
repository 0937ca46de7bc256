"""A delivery's 2xx as it goes over the wire: a status and a JSON document, and nothing else.

Flask's response object does far more, and took a twelfth of what a delivery costs.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final
from wsgiref.types import StartResponse, WSGIEnvironment

from runtime.json_text import written

Answer = Callable[[WSGIEnvironment, StartResponse], Iterable[bytes]]
"""Whatever can answer a request; Flask's own responses can, too."""

_REASONS: Final = {200: "200 OK", 202: "202 ACCEPTED"}


@dataclass(frozen=True, slots=True)
class Acknowledgement:
    """What became of a delivery that will not be lost."""

    status: int
    document: Mapping[str, Any]

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer as WSGI wants it."""
        del environ
        body = written(self.document, str).encode()
        headers = [("Content-Type", "application/json"), ("Content-Length", str(len(body)))]
        start_response(_REASONS[self.status], headers)
        return (body,)
