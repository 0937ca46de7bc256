"""Run a command with a folder on a full disk, or with a limit on the size of files."""

import os
import shutil
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path

DISK_BYTES = 64 * 1024
SHORT_FILE_BYTES = 16 * 1024

_MOUNT = f'mount -t tmpfs -o size={DISK_BYTES} none "$0"'
_FILL = 'cat /dev/zero >"$0/filling" 2>/dev/null'


def on_full_disk(folder: Path, command: Sequence[str]) -> list[str]:
    """Return a command that mounts a full tmpfs on ``folder``, visible to itself alone."""
    script = f'{_MOUNT} && {{ {_FILL}; exec "$@"; }}'
    return [*_own_mounts(), "sh", "-c", script, str(folder), *command]


def on_small_disk(
    folder: Path, size: str, command: Sequence[str], *, filled: bool = False
) -> list[str]:
    """Return a command that mounts a tmpfs of ``size`` on ``folder``, for itself alone.

    Others reach the disk as ``seen_by`` says; the file ``filling`` takes all of it if ``filled``.
    """
    fill_it = _FILL if filled else "true"
    script = f'mount -t tmpfs -o size={size} none "$0" && {{ {fill_it}; exec "$@"; }}'
    return [*_own_mounts(), "sh", "-c", script, str(folder), *command]


def seen_by(pid: int, folder: Path) -> Path:
    """Return the path at which we find the folder that a process sees; needs Linux and root."""
    return Path(f"/proc/{pid}/root{folder}")


def fill(folder: Path) -> Path:
    """Fill the disk to its last byte; return the file that does, to be removed."""
    filling = folder / "filling"
    with filling.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(4096))
    return filling


def with_short_files(command: Sequence[str]) -> list[str]:
    """Return a command that can write 16 KiB to a file and no more: EFBIG, not ENOSPC."""
    blocks = SHORT_FILE_BYTES // 512
    return ["sh", "-c", f'ulimit -f {blocks} && exec "$@"', "sh", *command]


@cache
def why_no_full_disk() -> str | None:
    """Return why this machine lets us mount nothing, or None if it does."""
    if shutil.which("unshare") is None:
        return "no unshare is installed to mount a full disk with"
    trial = [*_own_mounts(), "sh", "-c", _MOUNT, "/mnt"]
    ended = subprocess.run(trial, capture_output=True, text=True, check=False)
    return f"cannot mount a full disk: {ended.stderr.strip()}" if ended.returncode else None


def _own_mounts() -> list[str]:
    return ["unshare", "--mount"] if os.getuid() == 0 else ["unshare", "--map-root-user", "--mount"]
