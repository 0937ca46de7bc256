"""Turn this process into one of Paidup's own: same process id, same terminal."""

import os
import sys
from collections.abc import Mapping
from typing import NoReturn

from ops.up.up_file import completed, settings
from runtime.import_path import importing_ours


def service_command(module: str) -> list[str]:
    """The argument vector of a process of ours, by its entry point."""
    return [sys.executable, "-m", module]


def service_environ(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of a process of ours: it imports our modules, whatever else is there.

    An ``ingest`` in the folder it is started in, or on the operator's ``PYTHONPATH``, is not ours.
    """
    return importing_ours(environ)


def become(module: str, environ: Mapping[str, str], *needed: str) -> NoReturn:
    """Replace this process, once the settings are known to be whole.

    Raises:
        SettingsError: naming every variable that is out of bounds.
        NothingRuns: if a needed server is nowhere to be found.
    """
    settings(environ, *needed)
    sys.stdout.flush()
    sys.stderr.flush()
    command = service_command(module)
    os.execve(command[0], command, service_environ(completed(environ)))  # noqa: S606 - ours
