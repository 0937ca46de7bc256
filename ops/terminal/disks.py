"""Show the room on a disk as text and as JSON."""

from typing import Any

from ops.terminal.formats import format_bytes
from runtime.disks import Disk


def describe_disk(disk: Disk) -> str:
    """Return the folder, what it holds and the room that is left, and what to do if it is low."""
    room = f"{format_bytes(disk.free_bytes)} free ({disk.free_percent:.0f} %)"
    if disk.free_files == 0:
        room += ", and no more files fit"
    says = f"{disk.folder} ({', '.join(disk.holds)}): {room}"
    return f"{says}; make room, or move PAIDUP_DATA_DIR to a larger disk" if disk.is_low else says


def disk_document(disk: Disk) -> dict[str, Any]:
    """Return the same as JSON values."""
    return {
        "folder": str(disk.folder),
        "holds": list(disk.holds),
        "free_bytes": disk.free_bytes,
        "size_bytes": disk.size_bytes,
        "free_percent": round(disk.free_percent, 1),
        "low": disk.is_low,
    }
