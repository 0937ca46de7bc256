from ingest.patience import Patience, Traffic

PEER = ("203.0.113.1", 4711)


def owing(sent_bytes: int = 0) -> Traffic:
    """The client spoke last, a moment ago."""
    return Traffic(sent_ago=30, received_ago=0.1, sent_bytes=sent_bytes)


def idle(seconds: float) -> Traffic:
    """We spoke last."""
    return Traffic(sent_ago=seconds, received_ago=seconds, sent_bytes=0)


def test_a_request_that_stays_unanswered_is_overdue_after_its_time() -> None:
    patience = Patience(seconds=10)

    assert patience.overdue({PEER: owing()}, now=0) == frozenset()
    assert patience.overdue({PEER: owing()}, now=10) == frozenset()
    assert patience.overdue({PEER: owing()}, now=11) == {PEER}


def test_a_connection_may_be_idle_as_long() -> None:
    patience = Patience(seconds=10)

    assert patience.overdue({PEER: idle(10)}, now=0) == frozenset()
    assert patience.overdue({PEER: idle(11)}, now=1) == {PEER}


def test_each_request_of_a_connection_has_its_own_time() -> None:
    patience = Patience(seconds=10)

    patience.overdue({PEER: owing(sent_bytes=0)}, now=0)
    patience.overdue({PEER: owing(sent_bytes=200)}, now=9)

    assert patience.overdue({PEER: owing(sent_bytes=200)}, now=18) == frozenset()
    assert patience.overdue({PEER: owing(sent_bytes=200)}, now=20) == {PEER}


def test_a_connection_that_ended_is_forgotten() -> None:
    patience = Patience(seconds=10)

    patience.overdue({PEER: owing()}, now=0)
    patience.overdue({}, now=5)

    assert patience.overdue({PEER: owing()}, now=11) == frozenset()
