"""Find the metrics folders of this machine that have no room, for ``status`` and ``doctor``.

Work goes on without these files (``metrics_files``, ``metrics_values``, and the workers' claim
files and pulses beside them), so otherwise only the log would say that they are missing.
"""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

FOLDER_PREFIX: Final = "metrics-"
MIN_BYTES: Final = 1024 * 1024
"""Some 200 KiB are used for each process."""


def folders_without_room(data_dir: Path) -> Mapping[Path, str]:
    """Return the folders under ``data_dir`` that cannot take metrics, each with the reason.

    Empty if no process of Paidup has used ``data_dir``, as on an operator's own machine.
    """
    reasons = ((folder, _reason(folder)) for folder in _folders(data_dir.absolute()))
    return {folder: reason for folder, reason in reasons if reason}


def _folders(data_dir: Path) -> Iterator[Path]:
    if data_dir.exists():
        found = sorted(data_dir.glob(f"{FOLDER_PREFIX}*")) if data_dir.is_dir() else []
        yield from found or [data_dir]


def _reason(folder: Path) -> str | None:
    if not folder.is_dir():
        return "is no folder"
    try:
        disk = os.statvfs(folder)
    except OSError as error:
        return error.strerror or str(error)
    if disk.f_flag & os.ST_RDONLY:
        return "is on a disk that is mounted read-only"
    if disk.f_bavail * disk.f_frsize < MIN_BYTES:
        return f"is on a disk with {disk.f_bavail * disk.f_frsize // 1024} KiB left"
    # Some file systems count no files: they say 0 of 0.
    if disk.f_files and not disk.f_favail:
        return "is on a disk that can hold no more files"
    return None
