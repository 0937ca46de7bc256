from ingest.patience import Patience, Traffic

PEER = ("203.0.113.1", 4711)


def owing(answered_bytes: int = 0) -> Traffic:
    """The client spoke last."""
    return Traffic(sent_ago=100, received_ago=50, answered_bytes=answered_bytes)


def answered(answered_bytes: int = 0) -> Traffic:
    """We spoke last: nobody owes anything."""
    return Traffic(sent_ago=50, received_ago=100, answered_bytes=answered_bytes)


def test_a_request_that_stays_unanswered_is_overdue_after_its_time() -> None:
    patience = Patience(seconds=10)

    assert patience.overdue({PEER: owing()}, now=0) == frozenset()
    assert patience.overdue({PEER: owing()}, now=10) == frozenset()
    assert patience.overdue({PEER: owing()}, now=11) == {PEER}


def test_an_idle_connection_may_stay() -> None:
    patience = Patience(seconds=10)

    for now in (0, 20, 40):
        assert patience.overdue({PEER: answered()}, now=now) == frozenset()


def test_each_request_of_a_connection_has_its_own_time() -> None:
    patience = Patience(seconds=10)

    patience.overdue({PEER: owing(answered_bytes=0)}, now=0)
    patience.overdue({PEER: owing(answered_bytes=200)}, now=9)

    assert patience.overdue({PEER: owing(answered_bytes=200)}, now=18) == frozenset()
    assert patience.overdue({PEER: owing(answered_bytes=200)}, now=20) == {PEER}


def test_a_connection_that_ended_is_forgotten() -> None:
    patience = Patience(seconds=10)

    patience.overdue({PEER: owing()}, now=0)
    patience.overdue({}, now=5)

    assert patience.overdue({PEER: owing()}, now=11) == frozenset()
