from datetime import UTC, datetime, timedelta

import pytest

from ops.status.refused import describe_mismatches
from runtime.inbox.signatures import Mismatches

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("lasted", "says"),
    [
        (timedelta(milliseconds=400), "got 403, at 2026-11-22 12:00:00Z; before that"),
        (timedelta(seconds=1), "from 2026-11-22 12:00:00Z to 2026-11-22 12:00:01Z; before that"),
    ],
)
def test_two_equal_times_are_written_as_one(lasted: timedelta, says: str) -> None:
    found = Mismatches(deliveries=2, first_at=NOON, last_at=NOON + lasted, matched_at=None)

    assert says in describe_mismatches(found)
