from datetime import UTC, datetime, timedelta

import pytest

from ops.doctor.check_clock import check_clock
from ops.doctor.findings import State


@pytest.mark.parametrize(
    ("seconds", "state", "word"),
    [
        (0, State.OK, "agree"),
        (60, State.PROBLEM, "60 s ahead"),
        (-60, State.PROBLEM, "60 s behind"),
    ],
)
def test_a_clock_that_is_seconds_off_is_a_problem(seconds: int, state: State, word: str) -> None:
    finding = check_clock("clock", lambda: datetime.now(UTC) + timedelta(seconds=seconds))

    assert finding.state is state
    assert word in finding.says
