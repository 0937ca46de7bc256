"""The name by which the operator can call this command again, for hints, errors and help.

Sentences in the code say ``paidup``. In a checkout without an active environment no such command
is on the search path, and a hint that cannot be typed is a dead end.
"""

import re
import shlex
import shutil
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

PAIDUP: Final = "paidup"

_IN_BACKTICKS: Final = re.compile(r"`[^`\n]+`")
_CALL: Final = re.compile(rf"(?<![\w/.-]){PAIDUP}(?= [a-zA-Z-]|`)")


def command_name() -> str:
    """Return what to type for ``paidup`` in this folder."""
    return name_to_type(sys.argv[0], sys.orig_argv)


def name_to_type(script: str, typed: Sequence[str]) -> str:
    """Return the name that calls a script again.

    ``script`` is what Python ran, ``typed`` the words of its own command line.
    """
    path = Path(script)
    if path.parts[-2:] == (PAIDUP, "__main__.py"):
        return f"{shlex.quote(_from_here(typed[0]))} -m {PAIDUP}"
    if path.name != PAIDUP:
        return PAIDUP  # A test, or a program of another name that runs our command line.
    on_path = shutil.which(PAIDUP)
    with suppress(OSError):
        if on_path and Path(on_path).samefile(path):
            return PAIDUP
    return shlex.quote(_from_here(script))


def with_command_name(text: str) -> str:
    """Return a sentence whose calls in backticks, such as `paidup send`, can be typed."""
    name = command_name()
    return _IN_BACKTICKS.sub(lambda span: _CALL.sub(lambda _: name, span[0]), text)


def call_by_name(call: str) -> str:
    """Return a call such as ``paidup dead list``, or an example of calls, as it can be typed."""
    name = command_name()
    return _CALL.sub(lambda _: name, call)


def _from_here(path: str) -> str:
    """Return a path below this folder relative to it, and any other as it is."""
    with suppress(OSError, ValueError):
        return str(Path(path).relative_to(Path.cwd()))
    return path
