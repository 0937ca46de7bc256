"""The cookie of a session: a random secret, signed, so that only ours reach the database."""

from collections.abc import Sequence
from hashlib import sha256
from typing import Final

from itsdangerous import BadSignature, Signer
from werkzeug.wrappers import Request, Response

from ops.console.access.site import Site

_MOST_CHARACTERS: Final = 256
_SALT: Final = b"paidup console session"


class SessionCookie:
    """Reads and writes the cookie; ``secrets`` has the one that signs first, and none is empty."""

    def __init__(self, site: Site, secrets: Sequence[str], *, lifetime_seconds: int) -> None:
        self._site = site
        self._lifetime_seconds = lifetime_seconds
        self.name = cookie_name("session", site)
        # The last key signs, each verifies.
        self._signer = Signer(
            list(reversed(secrets)), salt=_SALT, key_derivation="hmac", digest_method=sha256
        )

    def read(self, request: Request) -> str | None:
        """Return the secret in the cookie, None without one or if it is not signed by us."""
        value = request.cookies.get(self.name, "")
        if not value or len(value) > _MOST_CHARACTERS:
            return None
        try:
            return self._signer.unsign(value).decode("ascii")
        except (BadSignature, UnicodeError):
            return None

    def write(self, response: Response, secret: str) -> None:
        """Set the cookie."""
        set_cookie(
            response,
            self._site,
            self.name,
            self._signer.sign(secret).decode("ascii"),
            seconds=self._lifetime_seconds,
        )

    def clear(self, response: Response) -> None:
        """Take the cookie away."""
        set_cookie(response, self._site, self.name, "", seconds=0)


def cookie_name(subject: str, site: Site) -> str:
    """Return the name by which browsers let no other site, path or plain http set the cookie."""
    if not site.is_secure:
        return f"paidup_{subject}"
    return f"__{'Secure' if site.prefix else 'Host'}-paidup_{subject}"


def set_cookie(response: Response, site: Site, name: str, value: str, *, seconds: int) -> None:
    """Set a cookie of the pages; 0 seconds take it away.

    ``SameSite=Strict`` would show the login page to those who follow a link from a chat.
    """
    response.set_cookie(
        name,
        value,
        max_age=seconds,
        path=site.cookie_path,
        secure=site.is_secure,
        httponly=True,
        samesite="Lax",
    )
