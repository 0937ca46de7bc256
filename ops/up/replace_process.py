"""Replace this process by one of Paidup's services, with the same process id and terminal."""

import os
import sys
from collections.abc import Mapping
from typing import NoReturn

from ops.up.up_file import completed, settings
from runtime.import_path import importing_ours


def replace_process(module: str, environ: Mapping[str, str], *needed: str) -> NoReturn:
    """Replace this process, once the settings are complete and valid.

    Raises:
        SettingsError: naming every variable that is out of bounds.
        NoServerConfigured: if a needed server is not configured.
    """
    settings(environ, *needed)
    sys.stdout.flush()
    sys.stderr.flush()
    command = [sys.executable, "-m", module]
    os.execve(command[0], command, importing_ours(completed(environ)))  # noqa: S606 - ours
