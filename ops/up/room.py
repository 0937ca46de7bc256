"""Say once that a disk of a stack is full, and once that there is room again.

While it is full, servers and services end and are restarted in vain, each with an error of its own.
"""

from collections.abc import Callable
from pathlib import Path

from ops.terminal.disks import describe_disk
from runtime.disks import FULL_BYTES, Disk, own_disks

ENOUGH_BYTES = 2 * FULL_BYTES
"""A disk counts as full until so much is free, or the two lines would take turns."""


class DiskRoom:
    """The room on the disks under ``data_dir``; ``say`` gets the lines."""

    def __init__(self, data_dir: Path, *, say: Callable[[str], None]) -> None:
        self._data_dir = data_dir
        self._say = say
        self._full: dict[Path, Disk] = {}

    def check(self) -> bool:
        """Look at the disks; return False if one of them is full."""
        for disk in own_disks(self._data_dir):
            if disk.is_full and disk.folder not in self._full:
                self._full[disk.folder] = disk
                self._say(
                    f"no room on the disk of {describe_disk(disk)};"
                    " what ends meanwhile is tried again until there is room"
                )
            elif disk.folder in self._full and _has_room(disk):
                del self._full[disk.folder]
                self._say(f"there is room again on the disk of {describe_disk(disk)}")
        return not self._full


def _has_room(disk: Disk) -> bool:
    return disk.free_bytes >= ENOUGH_BYTES and disk.free_files != 0
