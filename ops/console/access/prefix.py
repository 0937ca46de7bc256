"""Serve the console below a prefix, whether or not the proxy in front takes the prefix away."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from werkzeug.routing import Map

from ops.console.access.site import Site
from runtime.settings import SettingsError

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

VARIABLE: Final = "PAIDUP_CONSOLE_URL"


class PrefixMiddleware:
    """Moves the prefix from the path to ``SCRIPT_NAME``, by which Flask writes URLs."""

    def __init__(self, inner: "WSGIApplication", site: Site) -> None:
        self._inner = inner
        self._site = site

    def __call__(
        self, environ: "WSGIEnvironment", start_response: "StartResponse"
    ) -> Iterable[bytes]:
        """Answer a request."""
        prefix, path = self._site.prefix, environ.get("PATH_INFO", "")
        if path == prefix or path.startswith(f"{prefix}/"):
            path = path[len(prefix) :]
        environ = {**environ, "SCRIPT_NAME": prefix, "PATH_INFO": path or "/"}
        if self._site.url is not None:
            environ["wsgi.url_scheme"] = self._site.scheme
        return self._inner(environ, start_response)


def check_prefix(site: Site, routes: Map) -> None:
    """Check that no path of ours begins with the prefix: the two could not be kept apart.

    Raises:
        SettingsError: one does.
    """
    first = site.prefix.partition("/")[2].partition("/")[0]
    if first and any(rule.rule.split("/")[1] == first for rule in routes.iter_rules()):
        raise SettingsError(
            (f"{VARIABLE}: its path must not begin with /{first}, which the console uses itself",)
        )
