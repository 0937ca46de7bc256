"""Drills about data: dead letters, prices in no plan, lost data, changes, approvals."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Final

from bench.drills.drill import Drill, DrillFailed
from bench.drills.site import DrillSite, lifecycle
from ops.samples.sample_plans import MONTHLY
from ops.samples.scenario import Event
from runtime.changes.numbering import LOCK

USER: Final = "usr_drill"
_REASON: Final = "drill"
_UNSOLD: Final = "price_drill_unsold"
_REFUSE_USER: Final = (
    "ALTER TABLE payments DROP CONSTRAINT IF EXISTS drill,"
    f" ADD CONSTRAINT drill CHECK (user_id <> '{USER}') NOT VALID"
)
_TAKE_USER: Final = "ALTER TABLE payments DROP CONSTRAINT IF EXISTS drill"


@contextmanager
def one_user_refused(site: DrillSite) -> Iterator[None]:
    """Let a constraint refuse every payment of one user, and replay the dead letters later."""
    try:
        with site.owner() as database:
            database.execute(_REFUSE_USER)
        site.send_one(user=USER)
        yield
    finally:
        take_the_user(site)
        site.until_settled()


def take_the_user(site: DrillSite) -> None:
    """Drop the constraint that refuses the payments of one user, and replay the dead letters."""
    with site.owner() as database:
        database.execute(_TAKE_USER)
    site.until_cleared(lambda: not site.pending(), "each event is settled or a dead letter")
    site.command("dead", "replay", "--user", USER, "--reason", _REASON, "--yes")


@contextmanager
def price_in_no_plan(site: DrillSite) -> Iterator[None]:
    """Sell a price that no plan has, and cancel what was sold."""
    *sold, cancelled = map(_with_other_price, lifecycle("cancel_at_period_end").events)
    site.send(sold)
    try:
        yield
    finally:
        site.send([cancelled])
        site.until_settled()


def _with_other_price(event: Event) -> Event:
    return replace(event, body=event.body.replace(MONTHLY.price.encode(), _UNSOLD.encode()))


@contextmanager
def redis_flushed(site: DrillSite) -> Iterator[None]:
    """Flush Redis while no event waits in it, and close the report that follows.

    Raises:
        DrillFailed: an event waits that the flush would lose.
    """
    site.send_one()
    site.until(site.all_settled, "the events are settled")
    if waiting := site.backlog().events:
        raise DrillFailed(f"{waiting} events wait in Redis, which the flush would lose")
    with site.redis() as client:
        client.flushall()
    try:
        yield
    finally:
        site.command("doctor", "--restored", "--reason", _REASON)


@contextmanager
def numbering_held_up(site: DrillSite) -> Iterator[None]:
    """Hold the lock under which changes get their numbers, and change an entitlement."""
    try:
        with site.owner() as database:
            database.execute("SELECT pg_advisory_lock(%s)", (LOCK,))
            site.send_one()
            yield
    finally:
        site.until_settled()


@contextmanager
def approved_by_no_one(site: DrillSite) -> Iterator[None]:
    """Replay a few settled events alone, with a limit above which two persons must agree."""
    user = site.send_one().user_id
    site.until(site.all_settled, "the events are settled")
    words = ("replay", "--user", user, "--alone", "--reason", _REASON, "--yes")
    site.command(*words, PAIDUP_APPROVAL_ABOVE="1")
    yield
    site.until_settled()


DEAD_LETTERS = Drill(
    alert="PaidupDeadLetters",
    does="lets PostgreSQL refuse the payments of one user, mends that and replays the events",
    cause=one_user_refused,
    page="/dead-letters",
    mend=take_the_user,
)
UNSOLD_PRICES = Drill(
    alert="PaidupUnsoldPrices",
    does="sells a price that is in no plan, and cancels the subscription",
    cause=price_in_no_plan,
    page="/plans/prices",
)
DATA_WENT_BACK = Drill(
    alert="PaidupDataWentBack",
    does="flushes Redis while no event waits in it, and closes the report",
    cause=redis_flushed,
    page="/",
)
CHANGES_NOT_NUMBERED = Drill(
    alert="PaidupChangesNotNumbered",
    does="holds the lock under which changes are numbered, sends events, and lets go of it",
    cause=numbering_held_up,
    page="/",
)
APPROVAL_BYPASSED = Drill(
    alert="PaidupApprovalBypassed",
    does="replays settled events alone, above a limit that needs a second person",
    cause=approved_by_no_one,
    page="/jobs",
    stays="an hour after the action",
)
