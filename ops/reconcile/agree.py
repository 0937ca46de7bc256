"""Make the statement of agreement of a run from what it kept."""

from collections.abc import Iterable, Iterator, Mapping

from sqlalchemy import Connection

from ops.reconcile.agreement import Agreement
from ops.reconcile.course import ComparisonRun, PartEnded
from ops.reconcile.differences import (
    DifferenceClass,
    DifferenceState,
    FoundDifference,
    count_differences,
    read_differences,
)
from ops.reconcile.shown import ObjectScope, agreed_rows, forget_pages, our_totals, their_totals
from ops.reconcile.totals import DifferingDay, differing_days
from runtime.ledger.rows import TableName
from runtime.reconciling import ComparedPart

_ROWS = (TableName.SUBSCRIPTIONS, TableName.PAYMENTS)

LISTS_LEFT_OUT = "totals by day: they need every list of money, read whole"


def agree(
    connection: Connection,
    course: ComparisonRun,
    scope: ObjectScope,
    compared: Mapping[ComparedPart, PartEnded],
) -> Agreement:
    """Return the statement of a run that compared objects, and forget what its pages showed."""
    run, realm = course.run.id, course.account.realm
    not_compared = [each for ended in compared.values() for each in ended.not_compared]
    has_totals = not scope.customers and not compared[ComparedPart.OBJECTS].not_compared
    if not has_totals:
        not_compared.append(LISTS_LEFT_OUT)
    open_still = [
        each
        for each in read_differences(connection, run)
        if each.state is not DifferenceState.REPAIRED
    ]
    rows = agreed_rows(connection, run, realm, [*_names_of_rows(open_still)])
    events = compared.get(ComparedPart.EVENTS)
    statement = Agreement(
        realm=realm,
        as_of=course.run.started_at,
        parts=tuple(map(str, compared)),
        whole=course.wish.is_whole,
        subscriptions=rows.subscriptions,
        payments=rows.payments,
        sums=rows.sums,
        events=events.agreed["events"] if events else None,
        differ=_counts(connection, run),
        days=_days(connection, course, scope) if has_totals else (),
        not_compared=tuple(not_compared),
    )
    forget_pages(connection, run)
    return statement


def _days(
    connection: Connection, course: ComparisonRun, scope: ObjectScope
) -> tuple[DifferingDay, ...]:
    since = scope.since.date() if scope.since else None
    return differing_days(
        our_totals(connection, scope.realm, scope.since),
        their_totals(connection, course.run.id),
        since=since,
        before=course.run.started_at.date(),
    )


def _names_of_rows(differences: Iterable[FoundDifference]) -> Iterator[str]:
    """Yield the ids of the subscriptions and payments that differ."""
    for each in differences:
        yield each.name
        for label in each.ours or ():
            table, stripe_id, *_ = label.split(" ")
            if table in _ROWS:
                yield stripe_id


def _counts(
    connection: Connection, run: int
) -> Mapping[DifferenceClass, Mapping[DifferenceState, int]]:
    return {
        DifferenceClass(name): {
            DifferenceState(state): number for state, number in states.items() if number
        }
        for name, states in count_differences(connection, run).items()
        if any(states.values())
    }
