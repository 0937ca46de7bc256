"""Cached results make way for events that wait."""

from dataclasses import dataclass, field

import pytest

from workers.supervisor.marker_eviction import MOST_AT_ONCE, make_room


@dataclass
class Memory:
    used: int
    most: int

    def info(self, section: str) -> dict[str, int]:
        assert section == "memory"
        return {"used_memory": self.used, "maxmemory": self.most}


@dataclass
class Markers:
    left: int
    asked: list[int | None] = field(default_factory=list)

    def drop_done_markers(self, most: int | None = None) -> int:
        self.asked.append(most)
        dropped, self.left = self.left, 0
        return dropped


@pytest.mark.parametrize(("used", "most"), [(70, 100), (0, 100), (10**12, 0)])
def test_markers_stay_while_there_is_room(used: int, most: int) -> None:
    markers = Markers(left=7)

    assert make_room(Memory(used, most), markers) == 0
    assert markers.asked == []


def test_markers_go_when_memory_is_short() -> None:
    markers = Markers(left=7)

    assert make_room(Memory(71, 100), markers) == 7
    assert markers.asked == [MOST_AT_ONCE]


def test_short_memory_without_markers_is_nobodys_fault() -> None:
    assert make_room(Memory(90, 100), Markers(left=0)) == 0
