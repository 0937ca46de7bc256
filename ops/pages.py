"""Pages of ``docs/`` that are made from the code, so that they cannot fall behind it.

``python -m ops.pages`` writes them; a test fails while one is out of date.
"""

from collections.abc import Callable, Mapping
from pathlib import Path

from runtime.settings import VARIABLES, Variable

_CONFIGURATION = """\
# Configuration

Every setting comes from the environment and is read once, when a process starts. A value out of
bounds stops the start, and one message names every variable at fault. Any of them can be read from
a file instead: `NAME_FILE=/run/secrets/name` (then `NAME` itself must not be set). `paidup doctor`
shows what a deployment has and what is wrong with it.

This page is made from `runtime/settings.py` by `make docs`.

| variable | default | what it decides |
|---|---|---|
"""


def configuration() -> str:
    """One table row for each variable, in the order in which settings are judged."""
    return _CONFIGURATION + "".join(_row(variable) for variable in VARIABLES)


def _row(variable: Variable) -> str:
    # The CPU count is this machine's; the help says how it is chosen.
    computed = "Default:" in variable.help
    default = "" if computed or not variable.default else f"`{variable.default}`"
    secret = " Secret." if variable.secret else ""
    return f"| `{variable.name}` | {default} | {variable.help}{secret} |\n"


PAGES: Mapping[str, Callable[[], str]] = {"configuration.md": configuration}


def write(folder: Path) -> None:
    """Put every page into ``folder``, replacing what stands there."""
    for name, render in PAGES.items():
        (folder / name).write_text(render(), encoding="utf-8")


if __name__ == "__main__":
    write(Path("docs"))
