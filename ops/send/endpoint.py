"""Where webhooks go."""

from dataclasses import dataclass
from http.client import HTTPConnection, HTTPSConnection
from ipaddress import ip_address
from urllib.parse import urlsplit

from ops.errors import OpsError

TIMEOUT = 10.0


class UnusableUrl(OpsError):
    """The endpoint's URL is not one that events can be sent to."""

    def __init__(self, url: str) -> None:
        super().__init__(
            f"{url!r} is no webhook URL; it looks like http://127.0.0.1:8000/webhooks/stripe"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """Where webhooks go."""

    url: str
    scheme: str
    host: str
    port: int | None
    path: str

    @classmethod
    def at(cls, url: str) -> "Endpoint":
        """Take a URL apart.

        Raises:
            UnusableUrl: if it names no host, or is neither http nor https.
        """
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port
        except ValueError as error:
            raise UnusableUrl(url) from error
        if parts.scheme not in ("http", "https") or not host or not url.isascii():
            raise UnusableUrl(url)
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        return cls(url=url, scheme=parts.scheme, host=host, port=port, path=target)

    @property
    def is_loopback(self) -> bool:
        """True only where nobody else's server can be meant."""
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"

    def connect(self) -> HTTPConnection:
        """A connection, not yet opened."""
        kind = HTTPSConnection if self.scheme == "https" else HTTPConnection
        return kind(self.host, self.port, timeout=TIMEOUT)
