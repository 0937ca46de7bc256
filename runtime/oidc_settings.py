"""Read the settings of OpenID Connect: the issuer, and the roles by the claims of its ID tokens."""

import re
from dataclasses import dataclass
from typing import Final, Literal
from urllib.parse import urlsplit

from runtime.console_url import is_loopback_host

RoleName = Literal["viewer", "operator"]

_RULE: Final = re.compile(r"([^:=,\s]+):([^,]*[^,\s])=(viewer|operator)")


@dataclass(frozen=True, slots=True, kw_only=True)
class RoleRule:
    """The role of people in whose ID token a claim is this value, or has it in a list."""

    claim: str
    value: str
    role: RoleName


def read_issuer(text: str) -> str | None:
    """Return the issuer exactly as it is written: ID tokens must name it by the same text.

    Raises:
        ValueError: it is no https URL; plain http is for a provider on this machine.
    """
    issuer = text.strip()
    if issuer and not is_safe_url(issuer):
        reason = "must be an https URL without query or fragment, as the provider writes it"
        raise ValueError(reason)
    return issuer or None


def is_safe_url(url: str) -> bool:
    """Return whether what goes to a URL cannot be read or changed on the way."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    plain = not (parts.query or parts.fragment or "@" in parts.netloc) and url.isprintable()
    safe = parts.scheme == "https" or (parts.scheme == "http" and is_loopback_host(parts.netloc))
    return bool(plain and safe and parts.hostname)


def read_role_rules(text: str) -> tuple[RoleRule, ...]:
    """Return the rules in the order in which they are written.

    Raises:
        ValueError: one is not ``claim:value=role``, or two give a role to the same value.
    """
    rules = tuple(_rule(part.strip()) for part in text.split(",") if part.strip())
    if len({(rule.claim, rule.value) for rule in rules}) < len(rules):
        reason = "must give each value of a claim one role"
        raise ValueError(reason)
    return rules


def _rule(text: str) -> RoleRule:
    found = _RULE.fullmatch(text)
    if found is None:
        reason = (
            f"must be claim:value=viewer or claim:value=operator, comma separated; got {text!r}"
        )
        raise ValueError(reason)
    claim, value, role = found.groups()
    return RoleRule(claim=claim, value=value, role="operator" if role == "operator" else "viewer")
