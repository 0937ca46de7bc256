"""The credentials by which people may be logged in, as the settings of this process have them.

A session names its credential. It ends as soon as the settings have the credential no longer, or
with another role: then a restart of the console with other settings is all that it takes.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from ops.console_tokens import Role, Token, find_token

LEAST_ROLE: Final = Role.VIEWER
"""The least role of a person; those below it are for applications."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Credential:
    """One way in: its name in ``console_sessions``, and the role that it gives."""

    name: str
    role: Role


class Credentials:
    """All ways in: tokens, and what else the settings allow."""

    def __init__(self, tokens: Sequence[Token], others: Iterable[Credential] = ()) -> None:
        self._tokens = tokens
        people = (token for token in tokens if token.role.may_act_as(LEAST_ROLE))
        self._roles = {credential_of(token): token.role for token in people}
        self.has_tokens = bool(self._roles)
        self._roles |= {other.name: other.role for other in others}

    @property
    def has_people(self) -> bool:
        """True if there is any way in."""
        return bool(self._roles)

    def find(self, presented: str) -> Token | None:
        """Return the token that was presented, None if it is unknown."""
        return find_token(self._tokens, presented)

    def still_gives(self, credential: str, role: str) -> bool:
        """Return whether a credential is still there and still gives this role."""
        return self._roles.get(credential) == role


def credential_of(token: Token) -> str:
    """Return the name of a token as a credential, which gives neither token nor setting away."""
    return f"token:{token.name}:{sha256(token.digest).hexdigest()[:32]}"
