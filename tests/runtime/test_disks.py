import os
from pathlib import Path

import pytest

from runtime.disks import FULL_BYTES, Disk, own_disks

GIB = 1024**3


def disk(free: int, *, size: int, free_files: int | None = None) -> Disk:
    return Disk(
        folder=Path("/data"),
        holds=("data",),
        free_bytes=free,
        size_bytes=size,
        free_files=free_files,
    )


@pytest.mark.parametrize(
    ("free", "size", "low", "full"),
    [
        (2 * GIB, 10 * GIB, False, False),
        (GIB, 20 * GIB, True, False),
        (20 * GIB, 1000 * GIB, False, False),
        (9 * GIB, 1000 * GIB, True, False),
        (FULL_BYTES - 1, FULL_BYTES, True, True),
        (0, 0, True, True),
    ],
)
def test_a_disk_is_low_before_it_is_full(free: int, size: int, *, low: bool, full: bool) -> None:
    measured = disk(free, size=size)

    assert (measured.is_low, measured.is_full) == (low, full)


def test_a_disk_without_room_for_files_is_full() -> None:
    assert disk(2 * GIB, size=10 * GIB, free_files=0).is_full
    assert not disk(2 * GIB, size=10 * GIB, free_files=1).is_full


def test_folders_on_one_disk_are_measured_once(tmp_path: Path) -> None:
    for name in ("metrics-ingest-8000", "metrics-worker-9100", "log", "redis", "postgres/data"):
        (tmp_path / name).mkdir(parents=True)

    (measured,) = own_disks(tmp_path)

    assert measured.folder == tmp_path
    assert measured.holds == ("data", "metrics", "logs", "postgres", "redis")
    assert 0 <= measured.free_bytes <= measured.size_bytes


def test_a_folder_on_another_disk_is_measured_by_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "redis").mkdir()
    real = Path.stat

    def stat(path: Path, *, follow_symlinks: bool = True) -> os.stat_result:
        found = real(path, follow_symlinks=follow_symlinks)
        moved = path.name == "redis"
        return os.stat_result([*found[:2], found.st_dev + moved, *found[3:]])

    monkeypatch.setattr(Path, "stat", stat)

    assert [each.holds for each in own_disks(tmp_path)] == [("data",), ("redis",)]


def test_a_machine_that_only_looks_has_no_disk_of_ours(tmp_path: Path) -> None:
    assert own_disks(tmp_path / "data") == ()
