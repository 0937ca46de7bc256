"""The environment in which a Python process of ours imports our modules, not their namesakes.

``PYTHONPATH`` comes before everything that is installed, so a folder in it that has a ``models``
or a ``billing`` of its own would be imported in place of ours.
"""

import os
from collections.abc import Mapping
from pathlib import Path

FOLDER = Path(__file__).absolute().parents[1]
"""The folder that holds our packages: the repository, or where they are installed."""


def importing_ours(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the environment with our folder first on Python's path.

    The operator's own ``PYTHONPATH`` follows it. ``PYTHONSAFEPATH`` keeps off the path the folder
    that the process is started in, and so does leaving out empty entries, which mean that folder.
    """
    theirs = environ.get("PYTHONPATH", "").split(os.pathsep)
    entries = [str(FOLDER), *(entry for entry in theirs if entry and entry != str(FOLDER))]
    return {**environ, "PYTHONPATH": os.pathsep.join(entries), "PYTHONSAFEPATH": "1"}
