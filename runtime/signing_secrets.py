"""Read the endpoint's signing secrets, and tell one that was pasted wrongly from a right one.

Stripe signs with the secret exactly as its dashboard shows it, ``whsec_`` included, and so does its
command line tool. A secret with anything around it matches no delivery, and every one would get a
403. What can only be a mistake is a fault and stops the start. What is merely unlike Stripe is a
doubt, since another program may sign with a secret of its own. No sentence repeats a secret.
"""

import re
from base64 import b64decode
from collections.abc import Callable, Iterator, Sequence
from typing import Final

_MIN_CHARACTERS: Final = 24
_QUOTES: Final = "\"'`"
_ASSIGNMENT: Final = re.compile(r"(export\s+)?[A-Za-z_][A-Za-z0-9_]*\s*[=:]\s*[\"'`]?whsec_")
_AS_STRIPE: Final = re.compile(r"whsec_[A-Za-z0-9_]+")
_PLACEHOLDER: Final = re.compile(
    r"\.\.\.|…|[<>{}$]|x{4}|\*{3}|change.?me|replace.?me|placeholder|your[-_ ]|secret.?here",
    re.IGNORECASE,
)


def read_secrets(text: str) -> tuple[str, ...]:
    """Return the secrets of a comma separated list, without the white space around each.

    Raises:
        ValueError: one of them can only be a mistake; the message names its place and the remedy.
    """
    secrets = _parts(text)
    if faults := list(_numbered(secrets, _fault)):
        raise ValueError("; ".join(faults))
    return secrets


def weak_secrets(secrets: Sequence[str]) -> tuple[str, ...]:
    """Return a sentence for each secret that is a placeholder or can be guessed."""
    return tuple(_numbered(secrets, _weakness))


def doubts(text: str) -> tuple[str, ...]:
    """Return a sentence for each part of an accepted list that is probably wrong."""
    secrets = _parts(text)
    found = [*weak_secrets(secrets), *_numbered(secrets, _difference)]
    if len(set(secrets)) < len(secrets):
        found.append("lists the same secret twice: replace one by the secret that is missing")
    if secrets and text != text.strip():
        found.append(
            "has white space or a line break around it, which Paidup leaves out: remove it, because"
            " other programs may not"
        )
    return tuple(found)


def is_placeholder(secret: str) -> bool:
    """Return True for a text that documentation shows in place of a secret."""
    return bool(_PLACEHOLDER.search(secret))


def _parts(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _numbered(secrets: Sequence[str], about: Callable[[str], str | None]) -> Iterator[str]:
    for number, secret in enumerate(secrets, 1):
        if (says := about(secret)) is not None:
            yield f"secret {number} {says}"


def _fault(secret: str) -> str | None:
    return next((says for is_so, says in _FAULTS if is_so(secret)), None)


def _has_quotes(secret: str) -> bool:
    return secret[0] in _QUOTES or secret[-1] in _QUOTES


def _has_space(secret: str) -> bool:
    return not secret.isprintable() or " " in secret


def _is_base64(secret: str) -> bool:
    # Eight characters hold the six bytes of whsec_; the rest need not be looked at.
    try:
        return b64decode(secret[:8], validate=True) == b"whsec_"
    except ValueError:
        return False


_USE: Final = "use the endpoint's signing secret (whsec_...)"
_FAULTS: Final[Sequence[tuple[Callable[[str], object], str]]] = (
    (
        lambda secret: not secret.isascii(),
        "has characters that Stripe never uses, such as curly quotes: copy it again",
    ),
    (
        _has_quotes,
        "is in quotes: remove them (docker's --env-file keeps quotes as part of the value)",
    ),
    (_ASSIGNMENT.match, "begins with a variable's name: set the value alone, from whsec_ on"),
    (_has_space, "has white space or a line break inside: separate several secrets by commas"),
    (re.compile(r"[srp]k_").match, f"is an API key: {_USE}"),
    (re.compile(r"(we|ed)_").match, f"is the endpoint's id: {_USE}"),
    (re.compile(r"https?://").match, f"is a URL: {_USE}"),
    (
        _is_base64,
        "is base64: decode it (a Kubernetes Secret has base64 in data, text in stringData)",
    ),
    (
        lambda secret: "whsec_" in secret[1:],
        "has text before whsec_, or is two secrets without a comma between: copy it again",
    ),
    (
        lambda secret: secret.endswith(("\\n", "\\r")),
        r"ends with the two characters \n or \r: remove them",
    ),
)
"""Tests of one secret in their order, and what is said of the first that is true."""


def _weakness(secret: str) -> str | None:
    if is_placeholder(secret):
        return "is a placeholder: copy the endpoint's secret from Stripe's dashboard"
    if len(secret) < _MIN_CHARACTERS:
        return (
            f"is shorter than {_MIN_CHARACTERS} characters, unlike Stripe's secrets: copy it again"
        )
    return None


def _difference(secret: str) -> str | None:
    if _weakness(secret):
        return None
    if not secret.startswith("whsec_"):
        return (
            "does not start with whsec_, as Stripe's secrets do: copy it again with its beginning,"
            " unless a program other than Stripe signs with it"
        )
    if not _AS_STRIPE.fullmatch(secret):
        return "has characters that Stripe's secrets never have: copy it again"
    return None
