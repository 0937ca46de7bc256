"""The path of the webhook endpoint: how an operator may write it, and which requests are meant."""

import re
from typing import Final

DEFAULT: Final = "/webhooks/stripe"

_SEGMENT: Final = re.compile(r"[A-Za-z0-9._~-]+")
_MAX_CHARACTERS: Final = 200
_TAKEN: Final = ("/healthz", "/readyz", "/metrics")
_EXAMPLE: Final = f"such as {DEFAULT}"


def read_path(text: str) -> str:
    """Return the path without a slash at its end; only the root keeps it.

    Raises:
        ValueError: it is no plain path, or one that ingest serves already.
    """
    path = text.strip()
    if "://" in path:
        reason = f"must be the path alone, without scheme and host, {_EXAMPLE}"
        raise ValueError(reason)
    path = path.rstrip("/") or path[:1]
    segments = path.split("/")[1:] if path != "/" else []
    if not path.startswith("/") or len(path) > _MAX_CHARACTERS or not all(map(_is_plain, segments)):
        reason = (
            f"must start with / and have letters, digits and . _ ~ - between slashes, {_EXAMPLE}"
        )
        raise ValueError(reason)
    if path in _TAKEN:
        reason = f"must not be {path}, which ingest serves already"
        raise ValueError(reason)
    return path


def spellings(path: str) -> frozenset[str]:
    """Return the paths of requests that are meant: with and without a slash at the end."""
    return frozenset({path, f"{path.rstrip('/')}/"})


def _is_plain(segment: str) -> bool:
    # Clients and proxies take . and .. out of a path before they send it.
    return bool(_SEGMENT.fullmatch(segment)) and segment.strip(".") != ""
