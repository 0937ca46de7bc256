"""Lead a browser on to another page, which it gets with GET."""

from typing import Any

from flask import Response, url_for


def see_other(endpoint: str, **values: Any) -> Response:
    """Return the redirect to a page of the console."""
    return Response(status=303, headers={"Location": url_for(endpoint, **values)})
