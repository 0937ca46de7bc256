"""One run of one account and mode: each part in turn, then the statement that it ends in.

A run that was killed, or that Stripe left without an answer, stays open; the same command, or the
schedule, goes on with it. A run that Stripe refused has failed, and says why.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Final

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.engine import Connection, Engine

from models.tables import StripeRun, StripeRunDifference
from ops.errors import CommandFailed
from ops.reconcile.agree import agree
from ops.reconcile.course import ComparisonRequest, ComparisonRun, PartEnded
from ops.reconcile.events import compare_events, compare_undelivered
from ops.reconcile.objects import compare_objects, scope_of
from ops.reconcile.servers import Servers
from ops.reconcile.statement import ComparisonStatement, statement_of_events
from ops.stripe_runs.runs import OpenRun, RunRequest, begin
from ops.terminal.interrupt import Interrupted
from runtime.reconciling import ComparedPart
from runtime.stripe_api.accounts import ApiAccount
from runtime.stripe_api.errors import ApiAway, ApiFailure, ApiLimited, BudgetAway

PARTS: Final[Mapping[ComparedPart, Callable[[ComparisonRun], PartEnded]]] = {
    ComparedPart.UNDELIVERED: compare_undelivered,
    ComparedPart.EVENTS: compare_events,
    ComparedPart.OBJECTS: compare_objects,
}
"""How each part is compared, in the order in which a run does it."""

_PASSING: Final = (ApiAway, ApiLimited, BudgetAway)
"""Failures after which the same run can go on."""


class ComparisonFailed(CommandFailed):
    """A run ended without a statement, or is not at its end."""

    def __init__(self, run: int, reason: str, *, goes_on: bool) -> None:
        self.run = run
        self.goes_on = goes_on
        rest = "; run the same command again, it goes on where it was" if goes_on else ""
        super().__init__(f"run {run} is not done: {reason}{rest}")


def reconcile_account(
    servers: Servers,
    account: ApiAccount,
    wish: ComparisonRequest,
    *,
    rate: float,
    report: Callable[[str, int], None],
    tell: Callable[[str], None],
) -> tuple[int, ComparisonStatement]:
    """Compare one account and mode, and return the run and its statement.

    ``rate`` is in requests a second.

    Raises:
        Interrupted: a person asked to stop; the run stays open.
        ComparisonFailed: Stripe refused something, or did not answer.
        RunLost: the run was cancelled, or another process has it.
        RunUnderWay: a living process works on the same run.
    """
    request = RunRequest(
        kind="reconcile",
        realm=account.realm,
        actor=wish.actor,
        reason=wish.reason,
        said=wish.said(),
        rate=rate,
    )
    run = begin(servers.engine, request)
    course = ComparisonRun(
        settings=servers.settings,
        engine=servers.engine,
        inbox=servers.inbox,
        publish=servers.publish,
        make_api=servers.make_api,
        account=account,
        run=run,
        wish=wish,
        wait=servers.wait,
        is_stopping=servers.is_stopping,
        report=report,
        tell=tell,
    )
    with _ended(servers.engine, run, goes_on_at_once=wish.scheduled):
        compared = {part: PARTS[part](course) for part in PARTS if part in wish.parts}
        return run.id, _end(course, compared)


@contextmanager
def _ended(engine: Engine, run: OpenRun, *, goes_on_at_once: bool) -> Iterator[None]:
    """Leave the run open or failed if an error ends it.

    A run that was only stopped, and that the schedule goes on with at once, keeps its dead owner.
    """
    try:
        yield
    except _PASSING as error:
        run.release(engine)
        raise ComparisonFailed(run.id, str(error), goes_on=True) from error
    except (ApiFailure, CommandFailed) as error:
        if isinstance(error, ComparisonFailed):
            run.release(engine)
            raise
        with engine.begin() as connection:
            run.end(connection, "failed", str(error), None)
        raise ComparisonFailed(run.id, str(error), goes_on=False) from error
    except Interrupted:
        if not goes_on_at_once:
            run.release(engine)
        raise


def _end(course: ComparisonRun, compared: Mapping[ComparedPart, PartEnded]) -> ComparisonStatement:
    """Store and return the statement.

    Raises:
        ComparisonFailed: Stripe did not answer all requests.
    """
    if unread := [each for ended in compared.values() for each in ended.unread]:
        raise ComparisonFailed(
            course.run.id, f"Stripe did not answer: {'; '.join(unread)}", goes_on=True
        )
    with course.engine.begin() as connection:
        statement = _statement(connection, course, compared)
        course.run.end(connection, "done", None, statement.document())
        if course.wish.parts == (ComparedPart.UNDELIVERED,):
            _forget_older(connection, course.run.id, course.account)
    return statement


def _statement(
    connection: Connection, course: ComparisonRun, compared: Mapping[ComparedPart, PartEnded]
) -> ComparisonStatement:
    if ComparedPart.OBJECTS in compared:
        return agree(connection, course, scope_of(course), compared)
    ((part, ended),) = compared.items()
    return statement_of_events(connection, course, part, ended)


def _forget_older(connection: Connection, run: int, account: ApiAccount) -> None:
    """Delete the earlier checks of undelivered events that found nothing: there are 48 a day."""
    found = sa.select(StripeRunDifference.run).where(StripeRunDifference.run == StripeRun.id)
    connection.execute(
        sa.delete(StripeRun).where(
            StripeRun.kind == "reconcile",
            StripeRun.realm == account.realm,
            StripeRun.id < run,
            StripeRun.state == "done",
            StripeRun.said["parts"] == sa.cast([str(ComparedPart.UNDELIVERED)], JSONB),
            ~found.exists(),
        )
    )
