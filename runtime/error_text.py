"""Say in one line why a server could not be used, without what a log or a probe must not show.

An operator needs the reason: the class of an error alone does not tell a wrong password from a
wrong port. Drivers put addresses and commands into their messages, so passwords in URLs, keys and
the arguments of a refused command are taken out.
"""

import re
from typing import Final

_MAX_CHARACTERS: Final = 300
_ARGUMENTS: Final = ", with args beginning with:"
"""Redis quotes what came with a command that it does not know."""

_SECRETS: Final = (
    (re.compile(r"(?<=://)[^\s'\"]*@"), "***@"),
    # What a driver repeats of a URL that it cannot read may be a part of a password.
    (re.compile(r"(?<=percent-encoded value: )\"[^\"]*\""), "***"),
    (re.compile(r"(?<=could not be cast to integer value as )('[^']*'|\"[^\"]*\")"), "***"),
    (re.compile(r"\b(host (?:name )?['\"])[^'\"]*@"), r"\1***@"),
    (
        re.compile(
            r"\b(password|passwd|pwd|secret|token)(\s*[=:]\s*)('[^']*'|\"[^\"]*\"|[^\s,;&'\"]+)",
            re.IGNORECASE,
        ),
        r"\1\2***",
    ),
    (re.compile(r"\b(whsec|[sr]k_live|[sr]k_test)_\w+"), r"\1_***"),
)


def describe(error: BaseException) -> str:
    """Return the class and the message of an error, or of the driver's error in it."""
    cause = getattr(error, "orig", None) or error
    words = " ".join(without_secrets(str(cause)).split())
    text = f"{type(cause).__name__}: {words}" if words else type(cause).__name__
    return text if len(text) <= _MAX_CHARACTERS else f"{text[: _MAX_CHARACTERS - 1]}…"


def without_secrets(text: str) -> str:
    """Return the text with ``***`` in place of what looks like a password, key or secret."""
    text = text.partition(_ARGUMENTS)[0]
    for pattern, replacement in _SECRETS:
        text = pattern.sub(replacement, text)
    return text
