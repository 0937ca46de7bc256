"""The entry point of the ``paidup`` command, also as ``python -m paidup``."""

import os
import sys
from pathlib import Path
from typing import NoReturn


def main() -> NoReturn:
    """Run the command line, with Paidup's packages first on the import path.

    They come before the operator's ``PYTHONPATH``, here and in every child process. A ``models``
    there belongs to an application.
    """
    sys.path.insert(0, str(packages_folder()))
    from runtime.import_path import importing_ours  # noqa: PLC0415 - importable only now

    os.environ.update(importing_ours(os.environ))
    from ops.cli import main as run_command  # noqa: PLC0415 - the same

    run_command()


def packages_folder() -> Path:
    """Return the folder that contains ``ops`` and the others.

    In the wheel it is this package's own folder. In a checkout it is the folder above.
    """
    here = Path(__file__).resolve().parent
    return here if (here / "ops").is_dir() else here.parent


if __name__ == "__main__":
    main()
