"""Make Paidup's processes import Paidup's modules and no others of the same name.

``PYTHONPATH`` comes before installed packages. Without this, a folder in it with its own ``models``
or ``billing`` would be imported in place of Paidup's.
"""

import os
from collections.abc import Mapping
from pathlib import Path

FOLDER = Path(__file__).absolute().parents[1]
"""The folder that holds Paidup's packages: the repository, or the installed package."""


def importing_ours(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the environment with Paidup's folder first on Python's path.

    The operator's own ``PYTHONPATH`` follows it. ``PYTHONSAFEPATH`` keeps the working directory off
    the path. Empty entries are left out, because they mean the working directory, too.
    """
    theirs = environ.get("PYTHONPATH", "").split(os.pathsep)
    entries = [str(FOLDER), *(entry for entry in theirs if entry and entry != str(FOLDER))]
    return {**environ, "PYTHONPATH": os.pathsep.join(entries), "PYTHONSAFEPATH": "1"}
