"""Measure the disks on which Paidup keeps files of its own on this machine.

These are the data folder (``PAIDUP_DATA_DIR``), the metrics folders, and with ``paidup up`` the
logs and the data of the embedded servers. They may lie on one disk or on several.
"""

import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

CONTENTS: Final = ("data", "metrics", "logs", "postgres", "redis")
"""The names of what lies on a disk, for the label ``holds``."""

_FOLDERS: Final = (
    ("data", "."),
    ("metrics", "metrics-*"),
    ("logs", "log"),
    ("postgres", "postgres"),
    ("postgres", "postgres/data"),
    ("postgres", "postgres/data/pg_wal"),
    ("redis", "redis"),
)

FULL_BYTES: Final = 32 * 1024 * 1024
"""Below this PostgreSQL, which takes 16 MiB for each segment of its log, may stop at any write."""

LOW_PERCENT: Final = 10
LOW_BYTES: Final = 10 * 1024**3
"""Less than both is low: a tenth of a large disk is room enough."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Disk:
    """One disk: the first of our folders on it, what it holds, and the room that is left."""

    folder: Path
    holds: tuple[str, ...]
    free_bytes: int
    size_bytes: int
    free_files: int | None = None
    """None where the file system does not count files."""

    @property
    def free_percent(self) -> float:
        """Free bytes in percent of the size."""
        return 100 * self.free_bytes / self.size_bytes if self.size_bytes else 0.0

    @property
    def is_low(self) -> bool:
        """True if it is time to make room."""
        scarce = self.free_percent < LOW_PERCENT and self.free_bytes < LOW_BYTES
        return scarce or self.is_full

    @property
    def is_full(self) -> bool:
        """True if servers and services may fail for lack of room."""
        return self.free_bytes < FULL_BYTES or self.free_files == 0


def own_disks(data_dir: Path) -> tuple[Disk, ...]:
    """Return the disks under ``data_dir``, each once.

    Empty if no process of Paidup has used ``data_dir``, as on an operator's own machine.
    """
    found: dict[int, tuple[Path, list[str]]] = {}
    for holds, folder in _folders(data_dir.absolute()):
        # Only the server's account may look into its data folder.
        with suppress(OSError):
            _, names = found.setdefault(folder.stat().st_dev, (folder, []))
            names += [holds] if holds not in names else []
    disks = (_measured(folder, tuple(names)) for folder, names in found.values())
    return tuple(disk for disk in disks if disk is not None)


def _folders(data_dir: Path) -> Iterator[tuple[str, Path]]:
    if data_dir.is_dir():
        for holds, pattern in _FOLDERS:
            with suppress(OSError):
                folders = sorted(data_dir.glob(pattern)) if "*" in pattern else [data_dir / pattern]
                yield from ((holds, folder) for folder in folders)


def _measured(folder: Path, holds: tuple[str, ...]) -> Disk | None:
    try:
        disk = os.statvfs(folder)
    except OSError:
        return None
    return Disk(
        folder=folder.resolve(),
        holds=holds,
        free_bytes=disk.f_bavail * disk.f_frsize,
        size_bytes=disk.f_blocks * disk.f_frsize,
        free_files=disk.f_favail if disk.f_files else None,
    )
