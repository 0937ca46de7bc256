"""The headers of every page, by which a browser keeps it apart from other sites."""

from typing import Final

from werkzeug.wrappers import Response

from ops.console.access.site import Site

CONTENT_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self';"
    " form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_HEADERS: Final = {
    "Content-Security-Policy": CONTENT_POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=()",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
_HTTPS_FOR_A_YEAR: Final = "max-age=31536000"


def protect_response(response: Response, site: Site) -> None:
    """Add the headers; an asset keeps what it says of how long it may be stored."""
    response.headers.update(_HEADERS)
    response.headers.setdefault("Cache-Control", "no-store")
    if site.is_secure:
        response.headers["Strict-Transport-Security"] = _HTTPS_FOR_A_YEAR
