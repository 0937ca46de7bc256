import errno
from pathlib import Path
from typing import cast

from ops.up.restarts import RestartPolicy
from ops.up.servers.errors import ServerDidNotStart
from ops.up.servers.process import Process


class FakePart:
    """A part that ends on request and may refuse to start."""

    name = "part"
    log = Path("part.log")

    def __init__(self) -> None:
        self.lives = True
        self.starts = 0
        self.refuses = False
        self.disk_is_full = False
        self.exit_code: int | None = None

    def is_alive(self) -> bool:
        return self.lives

    def start(self) -> None:
        self.starts += 1
        if self.disk_is_full:
            raise OSError(errno.ENOSPC, "No space left on device")
        if self.refuses:
            raise ServerDidNotStart("part", "no disk", self.log)
        self.lives = True

    def die(self, exit_code: int = 1) -> None:
        self.lives, self.exit_code = False, exit_code


class RestartScene:
    def __init__(self) -> None:
        self.now = 0.0
        self.said: list[str] = []
        self.part = FakePart()
        self.restarts = RestartPolicy(say=self.said.append, monotonic=lambda: self.now)
        self.restarts.watch(cast("Process", self.part))

    def after(self, seconds: float) -> bool:
        self.now += seconds
        return self.restarts.restart_ended()


def test_what_lives_is_left_alone() -> None:
    scene = RestartScene()

    assert not scene.after(100)

    assert scene.part.starts == 0
    assert scene.said == []


def test_what_died_is_named_and_started_again() -> None:
    scene = RestartScene()
    scene.part.die(-9)

    assert not scene.after(60)
    assert scene.after(1)

    assert scene.said == ["part ended (signal 9) and will be restarted; see part.log"]
    assert scene.part.lives


def test_what_dies_young_waits_longer_each_time_up_to_ten_seconds() -> None:
    scene = RestartScene()
    waits = []

    for _ in range(7):
        scene.part.die()
        scene.after(0.001)
        waited = 0.0
        while not scene.after(0.5):
            waited += 0.5
        waits.append(waited + 0.5)

    assert waits == [1, 2, 4, 8, 10, 10, 10]


def test_what_lived_long_starts_at_once_again() -> None:
    scene = RestartScene()
    for _ in range(4):
        scene.part.die()
        scene.after(0.001)
        scene.after(20)
    scene.after(3600)
    scene.part.die()

    scene.after(0.001)

    assert scene.after(0.5)


def test_what_does_not_start_is_named_and_tried_again() -> None:
    scene = RestartScene()
    scene.part.die()
    scene.part.refuses = True
    scene.after(0.001)

    assert not scene.after(20)
    scene.part.refuses = False
    scene.after(0.001)
    assert scene.after(20)

    assert "part did not start: no disk; see part.log" in scene.said


def test_after_forgetting_the_dead_stay_dead() -> None:
    scene = RestartScene()
    scene.restarts.forget_all()
    scene.part.die()

    assert not scene.after(100)
    assert not scene.after(100)
    assert scene.restarts.alive() == []


def test_a_part_that_a_full_disk_keeps_from_starting_is_tried_again() -> None:
    scene = RestartScene()
    scene.part.die()
    scene.part.disk_is_full = True
    scene.after(0.001)

    assert not scene.after(20)
    assert "No space left" in scene.said[-1]
    scene.part.disk_is_full = False
    scene.after(0.001)
    assert scene.after(20)


def test_what_ends_in_the_same_way_again_and_again_is_said_once_until_it_has_lived() -> None:
    scene = RestartScene()
    for _ in range(5):
        scene.part.die()
        scene.after(0.001)
        scene.after(20)

    assert len(scene.said) == 1

    scene.after(3600)
    scene.part.die()
    scene.after(0.001)

    assert len(scene.said) == 2
