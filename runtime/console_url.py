"""Read ``PAIDUP_CONSOLE_URL``: the one address at which people open the console's pages."""

import re
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Final, Literal
from urllib.parse import urlsplit

Scheme = Literal["http", "https"]

_PORTS: Final = {"http": 80, "https": 443}
_HOST: Final = re.compile(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?\.?|\[[0-9a-f:.]+\]")
_SEGMENT: Final = re.compile(r"[A-Za-z0-9_~-][A-Za-z0-9._~-]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsoleUrl:
    """A URL without a slash at its end; ``host`` has the port unless it is that of the scheme."""

    scheme: Scheme
    host: str
    prefix: str
    """The path, such as ``/paidup``; empty at the root of the host."""

    @property
    def origin(self) -> str:
        """The scheme and the host, as browsers send them."""
        return f"{self.scheme}://{self.host}"

    @property
    def is_exposed(self) -> bool:
        """True if what goes there can be read on the way: plain http that leaves this machine."""
        return self.scheme == "http" and not is_loopback_host(self.host)

    def __str__(self) -> str:
        return f"{self.origin}{self.prefix}"


def read_console_url(text: str) -> ConsoleUrl:
    """Return the URL.

    Raises:
        ValueError: it is not http or https, or has more than a host, a port and a plain path.
    """
    try:
        if not text.strip().isprintable():  # urlsplit leaves line breaks out
            raise _unusable()
        parts = urlsplit(text.strip())
        port = parts.port
    except ValueError:
        raise _unusable() from None
    scheme = parts.scheme.lower()
    bracketed = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname or ""
    if scheme not in _PORTS or not _HOST.fullmatch(bracketed):
        raise _unusable()
    if parts.query or parts.fragment or "@" in parts.netloc or "?" in text or "#" in text:
        raise _unusable()
    prefix = parts.path.rstrip("/")
    if not all(_SEGMENT.fullmatch(segment) for segment in prefix.split("/")[1:]):
        raise _unusable()
    host = normal_host(bracketed if port is None else f"{bracketed}:{port}", scheme)
    return ConsoleUrl(scheme="https" if scheme == "https" else "http", host=host, prefix=prefix)


def _unusable() -> ValueError:
    return ValueError(
        "must be a URL such as https://ops.example.com or https://ops.example.com/paidup, without"
        " user, query or fragment"
    )


def normal_host(host: str, scheme: str) -> str:
    """Return a host in lower case, without the port of its scheme, as browsers write it."""
    return host.lower().removesuffix(f":{_PORTS.get(scheme, 0)}")


def is_loopback_host(host: str) -> bool:
    """Return whether a host, with or without a port, is a name of this machine for itself."""
    name = re.sub(r":[0-9]+$", "", host.lower())
    if name == "localhost":
        return True
    try:
        return ip_address(name.removeprefix("[").removesuffix("]")).is_loopback
    except ValueError:
        return False
