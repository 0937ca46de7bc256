"""Bearer tokens of the console, of which a process keeps only hashes, and what each may do.

An entry of ``PAIDUP_CONSOLE_TOKENS`` is ``name:role:`` and the SHA-256 of a token in hex, so that a
reader of the setting cannot use it. Without a role it is a ``reader``, which never writes. An entry
may also be the token itself, which is hashed at once and is a reader's, too. Readers are
applications; a viewer or an operator is a person, who may also log in to the pages.
Tokens are long and random, so no salt and no slow hash would make them harder to guess. A presented
token is compared with all hashes, each in constant time, so that timing reveals nothing.
"""

import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from hmac import compare_digest
from secrets import token_urlsafe
from typing import Final

from runtime.settings import SettingsError

VARIABLE: Final = "PAIDUP_CONSOLE_TOKENS"
NAME: Final = r"[A-Za-z0-9._-]{1,64}"


class Role(StrEnum):
    """The rights of a token's holder; each role includes those before it."""

    READER = "reader"
    VIEWER = "viewer"
    OPERATOR = "operator"

    def may_act_as(self, role: "Role") -> bool:
        """Return whether this role includes the other one."""
        order = tuple(Role)
        return order.index(self) >= order.index(role)


_ROLES: Final = "|".join(Role)
_HASHED: Final = re.compile(rf"({NAME}):(?:({_ROLES}):)?([0-9a-fA-F]{{64}})")
_ALMOST_HASHED: Final = re.compile(rf"{NAME}:(?:(?:{_ROLES}):.*|(?:[^:]*:)?[0-9a-fA-F]{{32,}})")
_OTHER_ROLE: Final = re.compile(rf"{NAME}:(?!(?:{_ROLES}):)[^:]*:[0-9a-fA-F]{{64}}")
_USABLE: Final = re.compile(r"[\x21-\x7e]+")
_RANDOM_BYTES: Final = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """A valid token; ``plain`` is true if the setting contains it instead of its hash."""

    name: str
    role: Role
    digest: bytes = field(repr=False)
    plain: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class GeneratedToken:
    """A new token for the application, and the entry for the setting."""

    token: str = field(repr=False)
    entry: str


def generate_token(name: str, role: Role = Role.READER) -> GeneratedToken:
    """Generate a random token."""
    token = f"pdt_{token_urlsafe(_RANDOM_BYTES)}"
    return GeneratedToken(token=token, entry=hashed_entry(name, role, token))


def hashed_entry(name: str, role: Role, token: str) -> str:
    """Return the entry for the setting, which does not give the token away."""
    return f"{name}:{role}:{digest_of(token).hex()}"


def digest_of(token: str) -> bytes:
    """Return the hash of a token, which is all that is kept of it."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()


def read_tokens(entries: Iterable[str]) -> tuple[Token, ...]:
    """Read the setting; plain tokens are named by their position in it.

    Raises:
        SettingsError: naming every entry that no request could match, or whose role is unclear.
    """
    numbered = list(enumerate(entries, 1))
    if problems := tuple(_problems(numbered)):
        raise SettingsError(problems)
    tokens = tuple(_read(number, entry) for number, entry in numbered)
    if problems := tuple(_two_roles(tokens)):
        raise SettingsError(problems)
    return tokens


def _problems(numbered: Iterable[tuple[int, str]]) -> Iterator[str]:
    for number, entry in numbered:
        if not _USABLE.fullmatch(entry):
            yield f"{VARIABLE}: entry {number} has characters that an HTTP header cannot contain"
        elif _OTHER_ROLE.fullmatch(entry):
            yield f"{VARIABLE}: the role of entry {number} must be reader, viewer or operator"
        elif _ALMOST_HASHED.fullmatch(entry) and not _HASHED.fullmatch(entry):
            yield f"{VARIABLE}: the hash of entry {number} must have 64 hex digits"


def _two_roles(tokens: Sequence[Token]) -> Iterator[str]:
    roles: dict[bytes, Role] = {}
    for number, token in enumerate(tokens, 1):
        if roles.setdefault(token.digest, token.role) is not token.role:
            yield f"{VARIABLE}: entry {number} gives another role to a token of an earlier entry"


def _read(number: int, entry: str) -> Token:
    if hashed := _HASHED.fullmatch(entry):
        name, role, digest = hashed.groups()
        return Token(
            name=name,
            role=Role(role) if role else Role.READER,
            digest=bytes.fromhex(digest),
            plain=False,
        )
    return Token(name=f"token-{number}", role=Role.READER, digest=digest_of(entry), plain=True)


def plain_token(entries: Iterable[str]) -> str | None:
    """Return the first token that the setting contains in plain text."""
    return next((entry for entry in entries if not _HASHED.fullmatch(entry)), None)


def find_token(tokens: Iterable[Token], presented: str) -> Token | None:
    """Return the token that was presented, None if it is unknown."""
    digest, found = digest_of(presented), None
    for token in tokens:
        if compare_digest(token.digest, digest):
            found = token
    return found
