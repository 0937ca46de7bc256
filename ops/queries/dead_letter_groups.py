"""Query dead letters grouped by error: alike are those of one type of event and one error.

An index orders the letters of a state by group and time. A step goes from one group to the next and
reads the newest letter, so the work grows with the groups; their letters are counted up to a cap.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import Connection, text

from models.dead_letters import STATES
from ops.queries.dead_letters import OPEN

COUNTED_LETTERS: Final = 10_000
"""The letters of one group and state that are counted; a larger number means more."""

MAX_GROUPS: Final = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class LetterGroup:
    """Dead letters that failed alike; ``error`` is that of the newest one.

    The numbers are those of each state. They and the times count ``COUNTED_LETTERS`` of a state at
    most; one more stands for any larger number.
    """

    error_group: str
    type: str | None
    error_type: str
    error: str
    open: int
    discarded: int
    replayed: int
    first_failed_at: datetime
    last_failed_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class LetterGroups:
    """The groups with letters in a state, the last failure first, and if some are left out."""

    groups: tuple[LetterGroup, ...]
    more: bool


def letter_groups(connection: Connection, *, state: str = OPEN) -> LetterGroups:
    """Return the groups that have dead letters in the state; their times are of that state."""
    values = {"state": state, "groups": MAX_GROUPS + 1, "counted": COUNTED_LETTERS + 1}
    rows = connection.execute(_GROUPS, values).mappings().all()
    groups = [LetterGroup(**row) for row in rows[:MAX_GROUPS]]
    groups.sort(key=lambda each: (each.last_failed_at, each.error_group), reverse=True)
    return LetterGroups(groups=tuple(groups), more=len(rows) > MAX_GROUPS)


def _counted(state: str) -> str:
    return (
        "(SELECT count(*) FROM (SELECT FROM dead_letters AS one"  # noqa: S608 - our own words
        f" WHERE one.state = '{state}' AND one.error_group = each.error_group LIMIT :counted)"
        f" AS counted) AS {state}"
    )


_GROUPS: Final = text(
    f"""
    WITH RECURSIVE groups (error_group) AS (
        (SELECT error_group FROM dead_letters WHERE state = :state ORDER BY error_group LIMIT 1)
        UNION ALL
        SELECT next.error_group FROM groups CROSS JOIN LATERAL (
            SELECT error_group FROM dead_letters
            WHERE state = :state AND error_group > groups.error_group
            ORDER BY error_group LIMIT 1
        ) AS next
    ), each AS (SELECT error_group FROM groups LIMIT :groups)
    SELECT each.error_group, newest.*, {", ".join(map(_counted, STATES))}, (
        SELECT min(first_failed_at) FROM dead_letters AS one
        WHERE one.state = :state AND one.error_group = each.error_group
    ) AS first_failed_at
    FROM each CROSS JOIN LATERAL (
        SELECT type, error_type, error, last_failed_at FROM dead_letters AS one
        WHERE one.state = :state AND one.error_group = each.error_group
        ORDER BY last_failed_at DESC LIMIT 1
    ) AS newest
    """  # noqa: S608 - our own words
)
