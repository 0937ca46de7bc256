"""Compress pages for browsers that take it: a page of tables shrinks to a tenth."""

import gzip
from typing import Final

from flask import Response, request

_LEVEL: Final = 5
_LEAST_BYTES: Final = 1024


def compress_page(response: Response) -> Response:
    """Compress a response that is a page; what the read API answers stays as it is.

    A page holds no secret that a stranger could guess by its size: the session's cookie is in no
    page, and no page is made for a request of another site.
    """
    if response.mimetype != "text/html" or response.direct_passthrough:
        return response
    response.headers.add("Vary", "Accept-Encoding")
    body = response.get_data()
    if len(body) >= _LEAST_BYTES and request.accept_encodings["gzip"]:
        response.set_data(gzip.compress(body, _LEVEL, mtime=0))
        response.headers["Content-Encoding"] = "gzip"
    return response
