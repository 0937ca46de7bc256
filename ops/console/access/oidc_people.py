"""Turn the claims of an ID token into a name and a role.

A name that people may choose for themselves, such as ``preferred_username``, is none: with it one
could act in the name of another, or approve an own plan under a second one. The e-mail address
counts for nothing, neither as a name nor for a role, if the provider doubts it.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from ops.console.access.credentials import Credential
from ops.console_tokens import Role
from runtime.oidc_settings import RoleRule

_MOST_CHARACTERS: Final = 200
_DOUBTS: Final = (False, "false")
"""Some providers write it as a text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OidcPerson:
    """A person for whom a provider vouches, and the rule that lets the person in."""

    name: str
    subject: str
    credential: Credential


def person_of(
    claims: Mapping[str, Any], issuer: str, rules: Sequence[RoleRule]
) -> OidcPerson | None:
    """Return the person with the highest role that any rule gives; None if none does."""
    claims = _without_doubts(claims)
    matching = [credential_by(issuer, rule) for rule in rules if _matches(rule, claims)]
    if not matching:
        return None
    order = tuple(Role)
    best = max(matching, key=lambda credential: order.index(credential.role))
    return OidcPerson(name=_name(claims), subject=str(claims["sub"]), credential=best)


def credentials_by(issuer: str, rules: Iterable[RoleRule]) -> Iterable[Credential]:
    """Return what the rules let people in by."""
    return [credential_by(issuer, rule) for rule in rules]


def credential_by(issuer: str, rule: RoleRule) -> Credential:
    """Return what a rule lets people in by; without the rule in the settings it is gone."""
    return Credential(name=f"oidc:{issuer}:{rule.claim}:{rule.value}", role=Role(rule.role))


def _matches(rule: RoleRule, claims: Mapping[str, Any]) -> bool:
    claim = claims.get(rule.claim)
    return rule.value in claim if isinstance(claim, list) else claim == rule.value


def _name(claims: Mapping[str, Any]) -> str:
    """Return the e-mail address, or the subject."""
    email = claims.get("email")
    if isinstance(email, str) and 0 < len(email) <= _MOST_CHARACTERS and email.isprintable():
        return email
    return str(claims["sub"])[:_MOST_CHARACTERS]


def _without_doubts(claims: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the claims without an e-mail address that the provider did not verify."""
    if claims.get("email_verified") not in _DOUBTS:
        return claims
    return {name: value for name, value in claims.items() if name != "email"}
