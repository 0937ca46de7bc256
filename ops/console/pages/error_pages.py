"""Answer a request for a page that fails with a page, and any other one with a problem document."""

from typing import Final

import structlog
from flask import Request, Response, request
from werkzeug.exceptions import HTTPException

from ops.console.access.response_headers import protect_response
from ops.console.access.site import Site
from ops.console.pages.frame import Frame
from ops.console.problems import BY_STATUS
from runtime.http.problems import MEDIA_TYPE, new_instance, respond_to_http_error

_API: Final = ("/v1/", "/openapi.json", "/healthz", "/readyz", "/metrics")
_TITLES: Final = {
    400: "This request cannot be understood",
    403: "Not allowed",
    404: "Nothing is here",
    405: "This page takes no such request",
    409: "Already under way",
    413: "Too much at once",
    421: "Not this console's address",
    429: "Too many requests",
    503: "Not available right now",
}
_FAILED: Final = """\
<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>This failed · Paidup</title>
<h1>This failed</h1>
<p>The cause is in the console's log, as <code>{instance}</code>. Go back and load the page again.
If you sent a form, look first whether it took effect.</p>
"""
"""Needs no template, since a template may be what failed."""

log = structlog.stdlib.get_logger(__name__)


def wants_page(asked: Request) -> bool:
    """Return whether a request is for a page: at its URL, or of a browser at an unknown one."""
    if asked.path.startswith(_API):
        return False
    if asked.blueprint is not None:
        return True
    return asked.accept_mimetypes.best_match([MEDIA_TYPE, "text/html"]) == "text/html"


class ErrorPages:
    """Renders errors as pages of the console."""

    def __init__(self, frame: Frame, site: Site) -> None:
        self._frame = frame
        self._site = site

    def respond(self, error: HTTPException) -> Response:
        """Return the page of an error that says what it is; the API gets its own document."""
        if not wants_page(request):
            return respond_to_http_error(error, BY_STATUS)
        status = error.code or 500
        page = self._frame.render(
            "errors/show.html",
            status=status,
            title=_TITLES.get(status, error.name),
            says=error.description,
        )
        for name, value in error.get_headers():
            if name.lower() not in ("content-type", "content-length"):
                page.headers.add(name, value)
        protect_response(page, self._site)
        return page

    def respond_to_bug(self, error: Exception) -> Response:
        """Return the page of an error that should not exist; the log has its traceback."""
        instance = new_instance()
        log.error("page failed", endpoint=request.endpoint, instance=instance, exc_info=error)
        page = Response(_FAILED.format(instance=instance), 500, mimetype="text/html")
        protect_response(page, self._site)
        return page
