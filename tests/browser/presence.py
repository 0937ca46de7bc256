"""Tell whether a browser can be driven here: Playwright and axe in Python, Chromium of the system.

Nothing here imports Playwright, which is installed by ``make browser-setup`` only.
"""

import os
import shutil
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from typing import Final

VARIABLE: Final = "PAIDUP_CHROMIUM"
"""Names the program of a browser. Set, it also says that the tests must not be left out."""

PROGRAMS: Final = ("chromium", "chromium-browser", "google-chrome")
PACKAGES: Final = ("playwright", "axe_playwright_python")


def browser_program(environ: Mapping[str, str] = os.environ) -> str | None:
    """Return the path of the browser, or None if there is none."""
    named = environ.get(VARIABLE)
    found = (shutil.which(name, path=environ.get("PATH")) for name in _names(named))
    return next(filter(None, found), None)


def _names(named: str | None) -> Sequence[str]:
    return (named,) if named else PROGRAMS


def what_is_missing(environ: Mapping[str, str] = os.environ) -> str | None:
    """Return a sentence that says what to install, or None if a browser can be driven."""
    if lacking := [name for name in PACKAGES if find_spec(name) is None]:
        return f"{' and '.join(lacking)} not installed: run `make browser-setup`"
    if browser_program(environ) is None:
        return f"no Chromium: install the package chromium, or name its program in {VARIABLE}"
    return None
