from pathlib import Path

import pytest

from ops.terminal.disks import describe_disk, disk_document
from runtime.disks import Disk

GIB = 1024**3


def disk(free: int, *, size: int = 100 * GIB, free_files: int | None = None) -> Disk:
    return Disk(
        folder=Path("/data"),
        holds=("data", "postgres"),
        free_bytes=free,
        size_bytes=size,
        free_files=free_files,
    )


def test_a_disk_with_room_is_described_without_advice() -> None:
    assert describe_disk(disk(66 * GIB)) == "/data (data, postgres): 66.0 GiB free (66 %)"


def test_a_disk_that_is_low_says_what_to_do() -> None:
    says = describe_disk(disk(5 * GIB + GIB // 2))

    assert says.startswith("/data (data, postgres): 5.5 GiB free (6 %); make room")


def test_a_disk_that_counts_no_more_files_says_so() -> None:
    assert "no more files fit" in describe_disk(disk(66 * GIB, free_files=0))


@pytest.mark.parametrize(("free", "low"), [(66 * GIB, False), (GIB, True)])
def test_the_document_has_the_bytes(free: int, *, low: bool) -> None:
    assert disk_document(disk(free)) == {
        "folder": "/data",
        "holds": ["data", "postgres"],
        "free_bytes": free,
        "size_bytes": 100 * GIB,
        "free_percent": free / GIB,
        "low": low,
    }
