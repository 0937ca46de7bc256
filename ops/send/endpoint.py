"""The endpoint that receives webhooks."""

from dataclasses import dataclass
from http.client import HTTPConnection, HTTPSConnection
from ipaddress import ip_address
from urllib.parse import urlsplit

from ops.errors import CommandFailed

TIMEOUT = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """The URL of an endpoint, in parts."""

    url: str
    scheme: str
    host: str
    port: int | None
    path: str

    @classmethod
    def at(cls, url: str) -> "Endpoint":
        """Parse a URL.

        Raises:
            CommandFailed: if it has no host, or is neither http nor https.
        """
        unusable = CommandFailed(
            f"{url!r} is not a webhook URL: use one like http://127.0.0.1:8000/webhooks/stripe"
        )
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port
        except ValueError as error:
            raise unusable from error
        if parts.scheme not in ("http", "https") or not host or not url.isascii():
            raise unusable
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        return cls(url=url, scheme=parts.scheme, host=host, port=port, path=target)

    @property
    def is_loopback(self) -> bool:
        """True only for a server on this machine."""
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"

    def connect(self) -> HTTPConnection:
        """Return a connection that is not opened yet."""
        kind = HTTPSConnection if self.scheme == "https" else HTTPConnection
        return kind(self.host, self.port, timeout=TIMEOUT)
