"""Store what a page of one of Stripe's lists shows: judge it, complete it, hand it to the ledger.

What is stored, how far the list is read, and the counts are of one transaction, so a run that is
killed and goes on counts nothing twice.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from sqlalchemy import Connection, Engine

from billing.fetching.observations import ApiObservation
from billing.fetching.plan import shows_a_part
from billing.fetching.record import FetchTarget
from billing.ids import Realm
from ops.backfill.held_objects import (
    HeldObject,
    count_held,
    held,
    hold,
    holder_of,
    join_holders,
    release,
)
from ops.backfill.known_objects import find_known, find_named
from ops.backfill.scope import BackfillScope
from ops.stripe_runs.asking import PatientApi
from ops.stripe_runs.lists import (
    CHARGES,
    CREDIT_NOTES,
    DISPUTES,
    INVOICES,
    PAYMENT_INTENTS,
    REFUNDS,
)
from ops.stripe_runs.pages import ListPage
from ops.stripe_runs.runs import OpenRun
from runtime.ledger.errors import ObservationTaken
from runtime.ledger.observe import ObserveCause, ObservedChange, ObservedObject
from runtime.ledger.record import Ledger

HELD: Final = (INVOICES, PAYMENT_INTENTS, CHARGES, REFUNDS, DISPUTES, CREDIT_NOTES)
"""The lists of money, of which a customer has very many objects."""

Save = Callable[[Connection], None]
"""Writes how far the lists are read, in the transaction that stores a page."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PageTaker:
    """Stores pages of one account and mode for a run; ``scope`` is None without `--since`."""

    engine: Engine
    ledger: Ledger
    run: OpenRun
    realm: Realm
    cause: ObserveCause
    api: PatientApi
    scope: BackfillScope | None = None

    def take(self, page: ListPage, save: Save) -> None:
        """Store the objects of a page, or keep them until all that a customer paid is read.

        Raises:
            ApiFailure: an object that Stripe showed in part could not be fetched.
            RunLost: the run was cancelled, or another process has it.
        """
        counted = self._in_scope(page)
        shown = self._whole(page, counted)
        left_out = Counter({f"{page.list.name}.left_out": counted.count(False)})
        if page.list not in HELD:
            self.store(shown, save, +left_out)
            return
        self.run.counts += left_out
        with self.engine.begin() as connection:
            save(connection)
            hold(connection, self.run.id, shown)

    def store_held(self, show: Callable[[int], None], is_stopping: Callable[[], bool]) -> None:
        """Store what was kept, or stop between two transactions; ``show`` gets how many wait.

        Raises:
            ApiFailure: Stripe does not answer again about an object.
            RunLost: the run was cancelled, or another process has it.
        """
        with self.engine.begin() as connection:
            join_holders(connection, self.run.id)
            waiting = count_held(connection, self.run.id)
        after = ""
        while not is_stopping():
            with self.engine.connect() as connection:
                some = held(connection, self.run.id, after=after)
            if not some:
                return
            after = some[-1].holder
            self.store(some, partial(self._release, some))
            waiting -= len(some)
            show(waiting)

    def _release(self, some: Sequence[HeldObject], connection: Connection) -> None:
        self.run.beat(connection)
        release(connection, self.run.id, some)

    def store(
        self, shown: Sequence[HeldObject], save: Save, besides: Counter[str] | None = None
    ) -> None:
        """Store observations, counted under the names of their lists, and ``besides`` with them.

        An answer of the same second as another one that differs is asked for again.

        Raises:
            ApiFailure: Stripe does not answer again.
            RunLost: the run was cancelled, or another process has it.
        """
        before = self.run.counts + (besides or Counter())
        lists = {each.observation.name: each.list for each in shown}
        asked: dict[str, ApiObservation] = {each.observation.id: each.observation for each in shown}

        def count(changes: Sequence[ObservedChange]) -> None:
            self.run.counts = before + Counter(
                f"{lists[each.observed.observation.name]}.{_became(each)}" for each in changes
            )

        while True:
            observed = [
                ObservedObject(realm=self.realm, observation=each) for each in asked.values()
            ]
            try:
                self.ledger.observe(observed, self.cause, save, refuse=count)
            except ObservationTaken as taken:
                again = self._again(asked.pop(taken.observation_id))
                asked[again.id] = again
            else:
                return

    def _whole(self, page: ListPage, counted: Sequence[bool]) -> list[HeldObject]:
        """Return those objects of a page that count, each with all that it lists."""
        cut = [
            FetchTarget(family=page.list.family, stripe_id=str(raw["id"]))
            for raw, counts in zip(page.objects, counted, strict=True)
            if counts and shows_a_part(page.list.family, raw)
        ]
        whole = {each.name: each for each in (self.api.fetch(tuple(cut)) if cut else ())}
        return [
            HeldObject(
                list=page.list.name, holder=holder_of(raw), observation=whole.get(each.name, each)
            )
            for raw, each, counts in zip(page.objects, page.observations(), counted, strict=True)
            if counts
        ]

    def _again(self, taken: ApiObservation) -> ApiObservation:
        target = FetchTarget(
            family=taken.family, stripe_id=taken.object_id, later_than=taken.asked_at
        )
        (again,) = self.api.fetch((target,))
        return again

    def _in_scope(self, page: ListPage) -> list[bool]:
        if self.scope is None:
            return [True] * len(page.objects)
        objects = [(page.list.family, raw) for raw in page.objects]
        followed = {name for each in objects if (name := self.scope.follows(*each)) is not None}
        bills = {str(raw["id"]) for family, raw in objects if self.scope.is_old_bill(family, raw)}
        with self.engine.connect() as connection:
            known = find_known(connection, self.realm, followed, run=self.run.id)
            named = find_named(connection, self.realm, bills)
        left_out = self.scope.left_out(objects, known=known, named=named)
        return [not each for each in left_out]


def _became(change: ObservedChange) -> str:
    if change.observed.observation.gone:
        return "gone"
    if change.unchanged:
        return "unchanged"
    return "changed" if change.known else "new"
