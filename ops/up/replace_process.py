"""Replace this process by one of Paidup's services, with the same process id and terminal."""

import os
import sys
from collections.abc import Mapping
from typing import NoReturn

from ops.up.up_file import completed, settings
from runtime.import_path import importing_ours


def service_command(module: str) -> list[str]:
    """Return the argument vector of a service, by its module."""
    return [sys.executable, "-m", module]


def service_environ(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of a service, in which Paidup's modules are imported first.

    Without it, an ``ingest`` in the current folder or on the operator's ``PYTHONPATH`` would win.
    """
    return importing_ours(environ)


def replace_process(module: str, environ: Mapping[str, str], *needed: str) -> NoReturn:
    """Replace this process, once the settings are complete and valid.

    Raises:
        SettingsError: naming every variable that is out of bounds.
        NoServerConfigured: if a needed server is not configured.
    """
    settings(environ, *needed)
    sys.stdout.flush()
    sys.stderr.flush()
    command = service_command(module)
    os.execve(command[0], command, service_environ(completed(environ)))  # noqa: S606 - ours
