"""A wait is counted to the fault that caused it, and only while the servers were up."""

from bench.soak.waits import EventTimes, FaultInterval, LongestWait, longest_waits

LOCKED = FaultInterval(kind="locked", began_at=100, up_at=100)
KILLED = FaultInterval(kind="killed", began_at=140, up_at=143)


def event(name: str, taken_at: float, applied_at: float) -> EventTimes:
    return EventTimes(event_id=name, taken_at=taken_at, applied_at=applied_at)


def test_an_event_that_was_taken_just_before_a_fault_belongs_to_it() -> None:
    found = longest_waits([LOCKED, KILLED], [event("a", 99, 105), event("b", 139, 150)])

    assert found["locked"] == LongestWait(seconds=6, event_id="a", taken_at=99)
    assert found["killed"] == LongestWait(seconds=8, event_id="b", taken_at=139)


def test_an_event_that_was_stuck_until_the_next_fault_belongs_to_the_one_before() -> None:
    found = longest_waits([LOCKED, KILLED], [event("a", 101, 150)])

    assert found["locked"] == LongestWait(seconds=46, event_id="a", taken_at=101)
    assert found["killed"].seconds == 0


def test_a_wait_before_every_fault_belongs_to_none() -> None:
    assert longest_waits([LOCKED], [event("a", 10, 20)])["locked"].seconds == 0


def test_a_kind_that_happened_twice_has_its_longest_wait() -> None:
    again = FaultInterval(kind="locked", began_at=200, up_at=200)

    found = longest_waits([LOCKED, again], [event("a", 100, 109), event("b", 201, 203)])

    assert found == {"locked": LongestWait(seconds=9, event_id="a", taken_at=100)}


def test_an_outage_does_not_hide_the_wait_before_it() -> None:
    frozen = FaultInterval(kind="frozen", began_at=129, up_at=155)

    found = longest_waits([LOCKED, frozen], [event("a", 100, 160)])

    assert max(wait.seconds for wait in found.values()) == 34
