"""The differences that a reconciliation found, and the state of each, by the id of event or object.

A difference is written when it is found, and again whenever its state changes, so a run that was
killed knows what it had found.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.engine import Connection

from models.tables import StripeRunDifference
from runtime.database.one_of import one_of

EVENT: Final = "event"
"""The family of a difference that concerns an event."""


class DifferenceClass(StrEnum):
    """The kind of a difference, by what it does to users first (docs/reconcile.md)."""

    PAID_NOT_GRANTED = "paid_not_granted"
    GRANTED_NOT_PAID = "granted_not_paid"
    AMOUNTS = "amounts"
    MISSING_EVENT = "missing_event"
    MISSING_HERE = "missing_here"
    UNKNOWN_THERE = "unknown_there"
    OTHER_STATUS = "other_status"
    OTHER_PRICE = "other_price"
    OTHER_PERIOD = "other_period"
    OTHER_USER = "other_user"
    STALE_HERE = "stale_here"


class DifferenceState(StrEnum):
    """The state of a difference."""

    MOVING = "moving"
    """It is young, or something of it is under way: it may be gone by itself in a minute."""
    STANDS = "stands"
    REPAIRED = "repaired"
    LEFT = "left"
    """It needs a person; ``says`` names the next step."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundDifference:
    """One difference between Stripe and us; ``says`` is a sentence for the operator."""

    name: str
    """The id of the event or object."""
    family: str
    """Stripe's name of its kind; ``event`` for an event."""
    classed: DifferenceClass
    state: DifferenceState
    says: str
    stripe_customer_id: str | None = None
    user_id: str | None = None
    ours: Any | None = None
    """The fields that differ as we have them, as JSON."""
    theirs: Any | None = None


def write_differences(connection: Connection, run: int, found: Iterable[FoundDifference]) -> None:
    """Store differences of a run; one that it found before is from now on as it is found now."""
    if rows := [_row(run, each) for each in found]:
        connection.execute(_WRITE, rows)


def read_differences(
    connection: Connection, run: int, *, states: Sequence[DifferenceState] = (*DifferenceState,)
) -> list[FoundDifference]:
    """Return the differences of a run in these states, by class and name."""
    query = (
        sa.select(StripeRunDifference.__table__)
        .where(StripeRunDifference.run == run, StripeRunDifference.state.in_(states))
        .order_by(StripeRunDifference.classed, StripeRunDifference.name)
    )
    return [_read(row) for row in connection.execute(query).mappings()]


def seen_once(connection: Connection, run: int, most: int) -> tuple[int, list[FoundDifference]]:
    """Return how many objects of a run differed in one look so far, and the first of them."""
    candidates = (
        StripeRunDifference.run == run,
        StripeRunDifference.state == DifferenceState.MOVING,
        StripeRunDifference.family != EVENT,
    )
    number = connection.scalar(sa.select(sa.func.count()).where(*candidates)) or 0
    query = (
        sa.select(StripeRunDifference.__table__)
        .where(*candidates)
        .order_by(StripeRunDifference.classed, StripeRunDifference.name)
        .limit(most)
    )
    return number, [_read(row) for row in connection.execute(query).mappings()]


def forget_differences(connection: Connection, run: int, known: Iterable[FoundDifference]) -> None:
    """Delete differences of a run, because another look says otherwise."""
    connection.execute(
        sa.delete(StripeRunDifference).where(
            StripeRunDifference.run == run,
            one_of(StripeRunDifference.name, [each.name for each in known]),
        )
    )


def count_differences(connection: Connection, run: int) -> dict[str, dict[str, int]]:
    """Return how many differences of a run are in each state, by class; each class is there."""
    counts = {str(each): dict.fromkeys(map(str, DifferenceState), 0) for each in DifferenceClass}
    query = (
        sa.select(StripeRunDifference.classed, StripeRunDifference.state, sa.func.count())
        .where(StripeRunDifference.run == run)
        .group_by(StripeRunDifference.classed, StripeRunDifference.state)
    )
    for classed, state, count in connection.execute(query):
        counts[classed][state] = count
    return counts


def _row(run: int, found: FoundDifference) -> dict[str, Any]:
    return {
        "run": run,
        "name": found.name,
        "family": found.family,
        "class": str(found.classed),
        "state": str(found.state),
        "stripe_customer_id": found.stripe_customer_id,
        "user_id": found.user_id,
        "ours": found.ours,
        "theirs": found.theirs,
        "says": found.says,
    }


def _read(row: sa.RowMapping) -> FoundDifference:
    return FoundDifference(
        name=row["name"],
        family=row["family"],
        classed=DifferenceClass(row["class"]),
        state=DifferenceState(row["state"]),
        says=row["says"],
        stripe_customer_id=row["stripe_customer_id"],
        user_id=row["user_id"],
        ours=row["ours"],
        theirs=row["theirs"],
    )


def _write() -> postgresql.Insert:
    insert = postgresql.insert(StripeRunDifference.__table__)  # type: ignore[arg-type]
    kept = {"run", "name", "found_at"}
    renewed = {each.name: each for each in insert.excluded if each.name not in kept}
    return insert.on_conflict_do_update(index_elements=["run", "name"], set_=renewed)


_WRITE: Final = _write()
