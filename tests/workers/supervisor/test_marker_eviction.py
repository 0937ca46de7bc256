"""Done markers make room for events that wait."""

from dataclasses import dataclass, field

import pytest

from workers.supervisor.marker_eviction import MAX_DROPPED, evict_markers


@dataclass
class FakeMemory:
    used: int
    most: int

    def info(self, section: str) -> dict[str, int]:
        assert section == "memory"
        return {"used_memory": self.used, "maxmemory": self.most}


@dataclass
class FakeMarkers:
    left: int
    asked: list[int] = field(default_factory=list)

    def drop_done_markers(self, most: int) -> int:
        self.asked.append(most)
        dropped, self.left = self.left, 0
        return dropped


@pytest.mark.parametrize(("used", "most"), [(70, 100), (0, 100), (10**12, 0)])
def test_markers_stay_while_there_is_room(used: int, most: int) -> None:
    markers = FakeMarkers(left=7)

    assert evict_markers(FakeMemory(used, most).info, markers.drop_done_markers) == 0
    assert markers.asked == []


def test_markers_go_when_memory_is_short() -> None:
    markers = FakeMarkers(left=7)

    assert evict_markers(FakeMemory(71, 100).info, markers.drop_done_markers) == 7
    assert markers.asked == [MAX_DROPPED]


def test_short_memory_without_markers_is_no_error() -> None:
    assert evict_markers(FakeMemory(90, 100).info, FakeMarkers(left=0).drop_done_markers) == 0
