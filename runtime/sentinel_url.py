"""Read the URL of a Redis that sentinels watch, in the form that most libraries use.

    redis+sentinel://[user:password@]host[:port],host2[:port2],.../service[/database]

User and password are those of Redis. Sentinels with a password get theirs by
``?sentinel_password=...`` (and ``sentinel_username``). ``rediss+sentinel`` is TLS to Redis.
"""

from dataclasses import dataclass, field
from typing import Final
from urllib.parse import parse_qsl, quote, unquote, urlsplit

SCHEMES: Final = ("redis+sentinel", "rediss+sentinel")
DEFAULT_PORT: Final = 26379

_OPTIONS: Final = ("sentinel_username", "sentinel_password")
_FORM: Final = "redis+sentinel://host:26379,host2:26379/service/0"


@dataclass(frozen=True, slots=True, kw_only=True)
class SentinelUrl:
    """The sentinels, the service that they watch, and what Redis itself asks for."""

    sentinels: tuple[tuple[str, int], ...]
    service: str
    database: int
    tls: bool
    username: str | None
    password: str | None = field(repr=False)
    sentinel_options: dict[str, str] = field(repr=False)
    """User name and password of the sentinels, as redis-py names them."""

    def for_kombu(self) -> str:
        """Return one ``sentinel://`` URL for each sentinel, as kombu reads them."""
        user, password = quote(self.username or "", safe=""), quote(self.password or "", safe="")
        login = f"{user}:{password}@" if user or password else ""
        return ";".join(
            f"sentinel://{login}{f'[{host}]' if ':' in host else host}:{port}/{self.database}"
            for host, port in self.sentinels
        )


def scheme_of(url: str) -> str:
    """Return the URL's scheme in lower case, or "" if it has none.

    ``urlsplit`` reads one host alone: of a list it refuses ``one:1,[::1]:2`` in Python 3.11.2, and
    takes it in 3.11.7. It also repeats what it refuses, passwords included.
    """
    scheme, separator, _ = url.partition("://")
    return scheme.lower() if separator else ""


def is_sentinel_url(url: str) -> bool:
    """Return True if the URL names sentinels instead of a Redis."""
    return scheme_of(url) in SCHEMES


def read_sentinel_url(url: str) -> SentinelUrl:
    """Read a URL of one of ``SCHEMES``.

    Raises:
        ValueError: it has no service, or a port or database is no number. It repeats no password.
    """
    address, _, query = url.partition("://")[2].partition("?")
    authority, _, path = address.partition("/")
    login, _, hosts = authority.rpartition("@")
    user, _, password = login.partition(":")
    service, _, database = path.strip("/").partition("/")
    if not service or not hosts or not (database or "0").isdecimal():
        raise ValueError(f"must name sentinels, a service and a database number, such as {_FORM}")
    options = dict(parse_qsl(query))
    if strange := sorted(set(options) - set(_OPTIONS)):
        raise ValueError(f"{strange[0]} is unknown; these are read: {', '.join(_OPTIONS)}")
    return SentinelUrl(
        sentinels=tuple(_address(host) for host in hosts.split(",")),
        service=unquote(service),
        database=int(database or 0),
        tls=scheme_of(url) == SCHEMES[1],
        username=unquote(user) or None,
        password=unquote(password) or None,
        sentinel_options={name.removeprefix("sentinel_"): value for name, value in options.items()},
    )


def _address(text: str) -> tuple[str, int]:
    try:
        parts = urlsplit(f"//{text}")
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if not host:
        raise ValueError(f"must name each sentinel as host:port, such as {_FORM}")
    return host, port or DEFAULT_PORT
