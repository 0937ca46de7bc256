from dataclasses import replace

import pytest

from ops.doctor.check_backlog import check_backlog
from ops.doctor.findings import State
from runtime.inbox.entries import Backlog
from tests.runtime.inbox.backlogs import EMPTY_BACKLOG

WAITING = replace(EMPTY_BACKLOG, events=7, due=7)


@pytest.mark.parametrize(
    ("inbox", "state", "says"),
    [
        (EMPTY_BACKLOG, State.OK, "no event waits"),
        (replace(WAITING, oldest_seconds=2, waiting_seconds=2), State.OK, "7 events in the inbox"),
        (replace(WAITING, oldest_seconds=90, waiting_seconds=90), State.WARNING, "for 90 s"),
        (replace(WAITING, oldest_seconds=900, waiting_seconds=900), State.PROBLEM, "for 15 min"),
        (
            replace(EMPTY_BACKLOG, events=2, parked=2, oldest_seconds=9000),
            State.WARNING,
            "2 h old, 2 are parked for another try",
        ),
        (replace(EMPTY_BACKLOG, events=80), State.PROBLEM, "80 events of 100 (PAIDUP_INBOX_LIMIT)"),
        (replace(EMPTY_BACKLOG, unknown_version=1), State.WARNING, "1 event in an unknown format"),
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
