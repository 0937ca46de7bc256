"""Refuse the URL of a server if an unescaped character may end its user or password too early.

libpq, redis-py and kombu repeat a part that they cannot read, and that part may be a password.
None of them is given such a URL.
"""

import re
from typing import Final

from runtime.sentinel_url import scheme_of

_ADVICE: Final = "percent-encode user and password (`@` is %40, `/` is %2F, `%` is %25)"
_LIBPQ: Final = frozenset({"postgresql", "postgres", "postgresql+psycopg"})
_HOST: Final = re.compile(r"(\[[^\]]*\]|[^:\[\]]*)(:[0-9]*)?")
"""libpq takes a host without a name or a port; what other drivers say of it repeats nothing."""
_UNREADABLE: Final = re.compile(r"%(?!(?!00)[0-9a-fA-F]{2})|\s")


def check_url(url: str) -> None:
    """Check the parts of a URL, which may name several hosts.

    Raises:
        ValueError: its driver could not read it, or would take a part of the password for a host.
            It repeats nothing of the URL.
    """
    login, hosts, path, query = _split(url)
    if "@" in hosts + path:
        raise ValueError(f"has a second `@`, or one behind its host: {_ADVICE}")
    if not all(_HOST.fullmatch(host) for host in hosts.split(",")):
        raise ValueError(f"has a port that is no number, or an open bracket: {_ADVICE}")
    if _UNREADABLE.search(f"{login}{query}"):
        raise ValueError(f"has a space, or a `%` without two hexadecimal digits: {_ADVICE}")
    if not all("=" in parameter for parameter in query.split("&") if parameter):
        raise ValueError(f"has a parameter without `=`: {_ADVICE}")


def _split(url: str) -> tuple[str, str, str, str]:
    """Return login, hosts, path and query; the login ends where the URL's driver ends it."""
    rest = url.partition("://")[2]
    # To libpq only a slash ends what may hold a login, to urlsplit also `?` and `#`.
    ends = "/" if scheme_of(url) in _LIBPQ else "/?#"
    login, at, _ = re.split(f"[{ends}]", rest, maxsplit=1)[0].partition("@")
    address = rest[len(login) + 1 :] if at else rest
    hosts = re.split("[/?#]", address, maxsplit=1)[0]
    path, _, query = address[len(hosts) :].partition("?")
    return login if at else "", hosts, path, query
