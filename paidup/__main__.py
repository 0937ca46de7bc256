"""The entry point of the ``paidup`` command, also as ``python -m paidup``."""

import os
import sys
from pathlib import Path
from typing import NoReturn


def main() -> NoReturn:
    """Put Paidup's packages first on the import path, then run the command line."""
    put_first(packages_folder())
    from ops.cli import main as run_command  # noqa: PLC0415 - importable only from here on

    run_command()


def packages_folder() -> Path:
    """Return the folder that contains ``ops`` and the others.

    In the wheel it is this package's own folder. In a checkout it is the folder above.
    """
    here = Path(__file__).resolve().parent
    return here if (here / "ops").is_dir() else here.parent


def put_first(folder: Path) -> None:
    """Make ``folder`` the first place to import from, for this process and its children.

    The operator's ``PYTHONPATH`` stays in force behind it: a ``models`` that lies there is an
    application's, not ours.
    """
    sys.path.insert(0, str(folder))
    given = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    behind = [entry for entry in given if entry and entry != str(folder)]
    os.environ["PYTHONPATH"] = os.pathsep.join([str(folder), *behind])


if __name__ == "__main__":
    main()
