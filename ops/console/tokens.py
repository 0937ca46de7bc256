"""Bearer tokens of the read API, of which a process keeps only hashes.

An entry of ``PAIDUP_CONSOLE_TOKENS`` is ``name:`` and the SHA-256 of a token in hex, so that a
reader of the setting cannot use it. It may also be the token itself, which is hashed at once.
Tokens are long and random, so no salt and no slow hash would make them harder to guess. A presented
token is compared with all hashes, each in constant time, so that timing reveals nothing.
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
    """A valid token; ``plain`` is true if the setting contains it instead of its hash."""

    name: str
    digest: bytes = field(repr=False)
    plain: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class GeneratedToken:
    """A new token for the application, and the entry for the setting."""

    token: str = field(repr=False)
    entry: str


def generate_token(name: str) -> GeneratedToken:
    """Generate a random token."""
    token = f"pdt_{token_urlsafe(_RANDOM_BYTES)}"
    return GeneratedToken(token=token, entry=hashed_entry(name, token))


def hashed_entry(name: str, token: str) -> str:
    """Return the entry for the setting, which does not give the token away."""
    return f"{name}:{digest_of(token).hex()}"


def digest_of(token: str) -> bytes:
    """Return the hash of a token, which is all that is kept of it."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()


def read_tokens(entries: Iterable[str]) -> tuple[Token, ...]:
    """Read the setting; plain tokens are named by their position in it.

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
            yield f"{VARIABLE}: entry {number} has characters that an HTTP header cannot contain"
        elif _ALMOST_HASHED.fullmatch(entry) and not _HASHED.fullmatch(entry):
            yield f"{VARIABLE}: the hash of entry {number} must have 64 hex digits"


def _read(number: int, entry: str) -> Token:
    if hashed := _HASHED.fullmatch(entry):
        return Token(name=hashed[1], digest=bytes.fromhex(hashed[2]), plain=False)
    return Token(name=f"token-{number}", digest=digest_of(entry), plain=True)


def plain_token(entries: Iterable[str]) -> str | None:
    """Return the first token that the setting contains in plain text."""
    return next((entry for entry in entries if not _HASHED.fullmatch(entry)), None)


def find_token_name(tokens: Iterable[Token], presented: str) -> str | None:
    """Return the name of the presented token, None if it is unknown."""
    digest, found = digest_of(presented), None
    for token in tokens:
        if compare_digest(token.digest, digest):
            found = token.name
    return found
