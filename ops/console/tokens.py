"""Who may ask: bearer tokens, of which a process keeps only hashes.

An entry of ``PAIDUP_CONSOLE_TOKENS`` is ``name:`` and the SHA-256 of a token in hex, so that who
reads the setting cannot use it; or the token itself, which is hashed at once. Tokens are drawn at
random and long, so no salt and no slow hash would make them harder to guess. A presented token is
compared with all hashes, each in constant time, so that time tells nothing about any of them.
"""

import hashlib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from hmac import compare_digest
from secrets import token_urlsafe
from typing import Final

from runtime.settings import SettingsError

VARIABLE: Final = "PAIDUP_CONSOLE_TOKENS"
NAME: Final = r"[A-Za-z0-9._-]{1,64}"
_HASHED: Final = re.compile(rf"({NAME}):([0-9a-fA-F]{{64}})")
_ALMOST_HASHED: Final = re.compile(rf"{NAME}:[0-9a-fA-F]{{32,}}")
_USABLE: Final = re.compile(r"[\x21-\x7e]+")
_RANDOM_BYTES: Final = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """A token that may be presented; ``plain`` says that the setting gives it away."""

    name: str
    digest: bytes = field(repr=False)
    plain: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """A token just drawn: what the application gets, and what the setting gets."""

    token: str = field(repr=False)
    entry: str


def draw(name: str) -> Drawn:
    """A fresh random token that nobody has seen."""
    token = f"pdt_{token_urlsafe(_RANDOM_BYTES)}"
    return Drawn(token=token, entry=f"{name}:{digest_of(token).hex()}")


def digest_of(token: str) -> bytes:
    """What is kept of a token."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()


def read_tokens(entries: Iterable[str]) -> tuple[Token, ...]:
    """Understand the setting; plain tokens are named by their place in it.

    Raises:
        SettingsError: naming every entry that no request could ever match.
    """
    numbered = list(enumerate(entries, 1))
    if problems := tuple(_problems(numbered)):
        raise SettingsError(problems)
    return tuple(_read(number, entry) for number, entry in numbered)


def _problems(numbered: Iterable[tuple[int, str]]) -> Iterator[str]:
    for number, entry in numbered:
        if not _USABLE.fullmatch(entry):
            yield f"{VARIABLE}: entry {number} has characters that no HTTP header carries"
        elif _ALMOST_HASHED.fullmatch(entry) and not _HASHED.fullmatch(entry):
            yield f"{VARIABLE}: the hash of entry {number} must have 64 hex digits"


def _read(number: int, entry: str) -> Token:
    if hashed := _HASHED.fullmatch(entry):
        return Token(name=hashed[1], digest=bytes.fromhex(hashed[2]), plain=False)
    return Token(name=f"token-{number}", digest=digest_of(entry), plain=True)


def plain_token(entries: Iterable[str]) -> str | None:
    """The first token that the setting gives away, for who runs the console and reads from it."""
    return next((entry for entry in entries if not _HASHED.fullmatch(entry)), None)


def holder(tokens: Iterable[Token], presented: str) -> str | None:
    """The name of the token that was presented, None for a stranger's."""
    digest, found = digest_of(presented), None
    for token in tokens:
        if compare_digest(token.digest, digest):
            found = token.name
    return found
