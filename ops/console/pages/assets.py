"""Serve the style sheet, the scripts and the icon; no asset comes from another host."""

import gzip
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.resources import files
from types import MappingProxyType
from typing import Final

from flask import Blueprint, Response, abort, request

_TYPES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "console.css": "text/css",
        "console.js": "text/javascript",
        "htmx.min.js": "text/javascript",
        "icon.svg": "image/svg+xml",
    }
)
_YEAR_SECONDS: Final = 365 * 86_400
_DIGITS: Final = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Asset:
    """One file as it is served; ``version`` is part of its URL, so that it may be kept for good."""

    mimetype: str
    body: bytes = field(repr=False)
    gzipped: bytes = field(repr=False)
    version: str


def load_assets() -> Mapping[str, Asset]:
    """Read the assets of this release."""
    folder = files("ops.console") / "static"
    loaded = {}
    for name, mimetype in _TYPES.items():
        body = folder.joinpath(name).read_bytes()
        loaded[name] = Asset(
            mimetype=mimetype,
            body=body,
            gzipped=gzip.compress(body, mtime=0),
            version=hashlib.sha256(body).hexdigest()[:_DIGITS],
        )
    return MappingProxyType(loaded)


def asset_routes(assets: Mapping[str, Asset]) -> Blueprint:
    """Return the route of the assets; they are public, since the login page needs them."""
    routes = Blueprint("assets", __name__)

    @routes.get("/assets/<name>")
    def asset(name: str) -> Response:
        found = assets.get(name) or abort(404)
        response = Response(found.body, mimetype=found.mimetype)
        if request.accept_encodings["gzip"]:
            response = Response(found.gzipped, mimetype=found.mimetype)
            response.headers["Content-Encoding"] = "gzip"
        response.headers["Vary"] = "Accept-Encoding"
        response.headers["X-Content-Type-Options"] = "nosniff"
        kept = request.args.get("v") == found.version
        response.headers["Cache-Control"] = (
            f"public, max-age={_YEAR_SECONDS}, immutable" if kept else "no-cache"
        )
        return response

    return routes
