from threading import Event

from ops.terminal.waits import Waits


class Scene:
    def __init__(self) -> None:
        self.now = 100.0
        self.said: list[str] = []
        self.waits = Waits(self.said.append, every=2.0, monotonic=lambda: self.now)

    def after(self, seconds: float) -> list[str]:
        """Return what one look reports after this many seconds."""
        self.now += seconds
        self.said.clear()
        self.waits.look()
        return list(self.said)


def test_a_short_wait_is_not_shown() -> None:
    scene = Scene()
    scene.waits.wait_for("Redis to be ready")

    assert scene.after(1.9) == []


def test_a_wait_that_lasts_is_shown_every_two_seconds() -> None:
    scene = Scene()
    scene.waits.wait_for("Redis to be ready")

    assert scene.after(2.0) == ["Waiting for Redis to be ready (2.0 s so far)"]
    assert scene.after(1.0) == []
    assert scene.after(1.0) == ["Waiting for Redis to be ready (4.0 s so far)"]


def test_what_was_printed_meanwhile_is_heard() -> None:
    scene = Scene()
    scene.waits.wait_for("4 events to be applied")
    scene.now += 1.5
    scene.waits.heard()

    assert scene.after(1.5) == []
    assert scene.after(0.5) == ["Waiting for 4 events to be applied (3.5 s so far)"]


def test_each_wait_has_its_own_time() -> None:
    scene = Scene()
    scene.waits.wait_for("ingest to be ready")
    scene.now += 1.75
    scene.waits.wait_for("the worker to be ready")

    assert scene.after(0.25) == ["Waiting for the worker to be ready"]
    scene.waits.wait_for("the worker to be ready")
    assert scene.after(2.0) == ["Waiting for the worker to be ready (2.2 s so far)"]


def test_nothing_is_shown_where_nothing_is_waited_for() -> None:
    assert Scene().after(60) == []


def test_it_looks_by_itself_until_it_is_left() -> None:
    reported = Event()

    with Waits(lambda _: reported.set(), every=0.01) as waits:
        waits.wait_for("this test")
        assert reported.wait(30)

    assert not waits._thread.is_alive()


def test_a_reader_that_went_away_does_not_end_it() -> None:
    tries = []
    twice = Event()

    def refuse(line: str) -> None:
        tries.append(line)
        if len(tries) > 1:
            twice.set()
        raise BrokenPipeError

    with Waits(refuse, every=0.01) as waits:
        waits.wait_for("this test")
        assert twice.wait(30)
