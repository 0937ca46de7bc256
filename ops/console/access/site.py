"""The site of the pages: the one address at which people use them, and who may come near.

With ``PAIDUP_CONSOLE_URL`` that is its host, and every other host in a request is refused. Without
it, pages are for browsers on this machine alone. The read API and the probes answer on any host.
"""

from dataclasses import dataclass
from ipaddress import ip_address
from typing import Final
from urllib.parse import unquote

from werkzeug.wrappers import Request

from ops.console.access.people import PageRefused
from runtime.console_url import ConsoleUrl, is_loopback_host, normal_host
from runtime.settings import Settings

OIDC_CALLBACK: Final = "/login/oidc/callback"
_MOST_CHARACTERS: Final = 2000
_FORWARDED: Final = ("Forwarded", "Via", "X-Forwarded-For", "X-Forwarded-Host", "X-Real-IP")


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """The address of the pages; ``url`` is None if only this machine may use them."""

    url: ConsoleUrl | None

    @classmethod
    def of(cls, settings: Settings) -> "Site":
        """Return the site of a deployment."""
        return cls(url=settings.console_url)

    @property
    def scheme(self) -> str:
        """The scheme by which browsers reach the pages."""
        return self.url.scheme if self.url else "http"

    @property
    def host(self) -> str | None:
        """The host of the pages, with a port unless it is the scheme's own."""
        return self.url.host if self.url else None

    @property
    def prefix(self) -> str:
        """The path under which the pages lie, such as ``/paidup``; empty at the root."""
        return self.url.prefix if self.url else ""

    @property
    def cookie_path(self) -> str:
        """The path below which browsers send the cookies of the pages."""
        return self.prefix or "/"

    @property
    def is_secure(self) -> bool:
        """True if browsers come by https."""
        return self.scheme == "https"

    @property
    def redirect_uri(self) -> str | None:
        """The URL to which an OpenID provider sends people back; None without a URL."""
        return f"{self.url}{OIDC_CALLBACK}" if self.url else None

    @property
    def warning(self) -> str | None:
        """The sentence that every page shows where others can read along."""
        if self.url is None or not self.url.is_exposed:
            return None
        return (
            "This console is served over plain http: others on the network can read what you see,"
            " and take over your session. Serve it over https."
        )

    def origin_of(self, request: Request) -> str:
        """Return the one origin whose forms may change anything."""
        return self.url.origin if self.url else f"http://{normal_host(request.host, 'http')}"

    def check(self, request: Request) -> None:
        """Refuse a request for a page under another address than ours.

        Raises:
            PageRefused: with the status 421, or 403 if pages are for this machine alone.
        """
        if self.url is not None:
            if normal_host(request.host, self.url.scheme) != self.url.host:
                raise PageRefused(421, "Another address", f"Open the console at {self.url}.")
        elif not _is_local(request):
            raise PageRefused(
                403,
                "From this machine only",
                "Only a browser on the machine of the console may log in. To open it to others, set"
                " PAIDUP_CONSOLE_URL to the URL at which they reach it, and restart the console.",
            )

    def local_path(self, given: str | None) -> str:
        """Return a path of this site to go to; what could lead elsewhere becomes ``/``."""
        path = given or "/"
        return path if _stays_here(path) else "/"

    def href(self, path: str) -> str:
        """Return the URL of a local path."""
        return f"{self.prefix}{path}"


def _is_local(request: Request) -> bool:
    try:
        client = ip_address(request.remote_addr or "")
    except ValueError:
        return False
    client = getattr(client, "ipv4_mapped", None) or client
    # A proxy on this machine is local, too, and those behind it are not.
    came_through_proxy = any(name in request.headers for name in _FORWARDED)
    return client.is_loopback and is_loopback_host(request.host) and not came_through_proxy


def _stays_here(path: str) -> bool:
    """Return whether browsers take a text as a path on the same host, below the same prefix."""
    if len(path) > _MOST_CHARACTERS or not all("!" <= character <= "~" for character in path):
        return False
    decoded = unquote(path.partition("#")[0].partition("?")[0])
    climbs = any(segment in {".", ".."} for segment in decoded.split("/"))
    # Browsers read a backslash as a slash, and two slashes as the start of another host.
    return (
        path.startswith("/")
        and not decoded.startswith("//")
        and "\\" not in path + decoded
        and decoded.isprintable()
        and not climbs
    )
