from dataclasses import replace
from datetime import UTC, datetime

import pytest

from ops.doctor.check_backlog import check_backlog
from ops.doctor.findings import State
from runtime.inbox.entries import Backlog

EMPTY = Backlog(
    at=datetime(2026, 11, 22, tzinfo=UTC),
    events=0,
    oldest_seconds=0.0,
    due=0,
    waiting_seconds=0.0,
    parked=0,
    claimed=0,
    by_lane={},
    drainers=0,
    workers=1,
    processes=2,
    unknown_version=0,
    conflicts=0,
    breaker=None,
    counters={},
)
WAITING = replace(EMPTY, events=7, due=7)


@pytest.mark.parametrize(
    ("inbox", "state", "says"),
    [
        (EMPTY, State.OK, "no event waits"),
        (replace(WAITING, oldest_seconds=2, waiting_seconds=2), State.OK, "7 events in the inbox"),
        (replace(WAITING, oldest_seconds=90, waiting_seconds=90), State.WARNING, "for 90 s"),
        (replace(WAITING, oldest_seconds=900, waiting_seconds=900), State.PROBLEM, "for 15 min"),
        (
            replace(EMPTY, events=2, parked=2, oldest_seconds=9000),
            State.WARNING,
            "2 h old, 2 are parked for another try",
        ),
        (replace(EMPTY, events=80), State.PROBLEM, "80 events of 100 (PAIDUP_INBOX_LIMIT)"),
        (replace(EMPTY, unknown_version=1), State.WARNING, "1 event in an unknown format"),
    ],
)
def test_what_waits_too_long_or_is_too_much_is_said(
    inbox: Backlog, state: State, says: str
) -> None:
    finding = next(iter(check_backlog(inbox, 100)))

    assert finding.state is state
    assert says in finding.says


def test_a_late_and_full_inbox_is_two_findings() -> None:
    inbox = replace(WAITING, events=99, oldest_seconds=900, waiting_seconds=900)

    assert [each.state for each in check_backlog(inbox, 100)] == [State.PROBLEM] * 2
