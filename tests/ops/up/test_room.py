from pathlib import Path

import pytest

from ops.up import room
from ops.up.room import ENOUGH_BYTES, DiskRoom
from runtime.disks import FULL_BYTES, Disk


class RoomScene:
    """A stack on one disk, whose free bytes a test sets."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.said: list[str] = []
        self.free_bytes = 10 * ENOUGH_BYTES
        self.free_files: int | None = None
        monkeypatch.setattr(room, "own_disks", lambda _: (self._disk(),))
        self.room = DiskRoom(Path("/data"), say=self.said.append)

    def _disk(self) -> Disk:
        return Disk(
            folder=Path("/data"),
            holds=("data", "redis"),
            free_bytes=self.free_bytes,
            size_bytes=100 * ENOUGH_BYTES,
            free_files=self.free_files,
        )

    def with_free(self, free_bytes: int) -> bool:
        self.free_bytes = free_bytes
        return self.room.check()


@pytest.fixture
def scene(monkeypatch: pytest.MonkeyPatch) -> RoomScene:
    return RoomScene(monkeypatch)


def test_a_full_disk_is_said_once_and_so_is_its_end(scene: RoomScene) -> None:
    checks = [scene.with_free(free) for free in (ENOUGH_BYTES, 0, 0, FULL_BYTES, ENOUGH_BYTES)]

    assert checks == [True, False, False, False, True]
    full, over = scene.said
    assert full.startswith("no room on the disk of /data (data, redis): 0 bytes free (0 %)")
    assert "make room" in full
    assert over.startswith("there is room again on the disk of /data")


def test_it_is_said_again_when_the_disk_is_full_again(scene: RoomScene) -> None:
    for free in (0, ENOUGH_BYTES, 0):
        scene.with_free(free)

    assert [line.startswith("no room") for line in scene.said] == [True, False, True]


def test_a_disk_that_takes_no_more_files_is_full(scene: RoomScene) -> None:
    scene.free_files = 0

    assert not scene.room.check()
    assert "no more files fit" in scene.said[0]
