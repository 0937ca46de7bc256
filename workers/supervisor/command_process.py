"""Run a ``paidup`` command as a process of its own, behind everything else on the machine."""

import os
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Final

from runtime.parent_watch import with_parent

_NICE: Final = 10


def start_command(command: Sequence[str], environ: Mapping[str, str]) -> "subprocess.Popen[bytes]":
    """Start a command that ends with this process, prints nowhere, and gives way to others."""
    process = subprocess.Popen(  # noqa: S603 - our own command
        command,
        env=with_parent(environ),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )
    with suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, process.pid, _NICE)
    return process


def end_command(process: "subprocess.Popen[bytes]", grace_seconds: float) -> None:
    """Wait for a process that was asked to end, and kill it when the time is over."""
    try:
        process.wait(grace_seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
