import os
from pathlib import Path

import pytest

from runtime.metrics_room import MIN_BYTES, folders_without_room


def disk(free: int = MIN_BYTES, *, files: int = 10, free_files: int = 1, flag: int = 0) -> object:
    """Build what ``statvfs`` says of a disk with blocks of 1 KiB."""
    blocks = free // 1024
    return os.statvfs_result(
        (1024, 1024, blocks, blocks, blocks, files, free_files, free_files, flag, 255)
    )


@pytest.fixture
def used(tmp_path: Path) -> Path:
    """Return a metrics folder in ``tmp_path``."""
    folder = tmp_path / "metrics-ingest-8000"
    folder.mkdir()
    return folder


@pytest.mark.parametrize(
    ("found", "reason"),
    [
        (disk(), None),
        (disk(files=0, free_files=0), None),
        (disk(MIN_BYTES - 1024), "1023 KiB left"),
        (disk(0), "0 KiB left"),
        (disk(free_files=0), "no more files"),
        (disk(flag=os.ST_RDONLY), "read-only"),
    ],
)
def test_a_disk_without_room_is_distinguished_from_one_with_room(
    used: Path, monkeypatch: pytest.MonkeyPatch, found: object, reason: str | None
) -> None:
    monkeypatch.setattr(os, "statvfs", lambda _: found)

    without = folders_without_room(used.parent)

    assert set(without) == ({used} if reason else set())
    assert all(reason in said for said in without.values() if reason)


def test_a_disk_that_cannot_be_asked_has_no_room(
    used: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: Path) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "statvfs", fail)

    assert folders_without_room(used.parent) == {used: "Input/output error"}


def test_a_file_where_the_folder_should_be_is_named(tmp_path: Path) -> None:
    (tmp_path / "data").touch()

    assert folders_without_room(tmp_path / "data") == {tmp_path / "data": "is no folder"}


def test_a_machine_that_only_looks_has_no_folder_to_name(tmp_path: Path) -> None:
    assert folders_without_room(tmp_path / "data") == {}
