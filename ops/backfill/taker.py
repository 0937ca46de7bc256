"""Store what a page of one of Stripe's lists shows: judge it, complete it, hand it to the ledger.

What is stored, how far the list is read, and the counts are of one transaction, so a run that is
killed and goes on counts nothing twice.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, Engine

from billing.fetching.observations import ApiObservation
from billing.fetching.plan import shows_a_part
from billing.fetching.record import FetchTarget
from billing.ids import Realm
from ops.backfill.known_objects import find_known, find_named
from ops.backfill.scope import BackfillScope
from ops.stripe_runs.asking import PatientApi
from ops.stripe_runs.pages import ListPage
from ops.stripe_runs.runs import OpenRun
from runtime.ledger.errors import ObservationTaken
from runtime.ledger.observe import ObserveCause, ObservedChange, ObservedObject
from runtime.ledger.record import Ledger

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
        """Store the objects of a page.

        Raises:
            ApiFailure: an object that Stripe showed in part could not be fetched.
            RunLost: the run was cancelled, or another process has it.
        """
        counted = self._in_scope(page)
        shown = [each for each, counts in zip(page.observations(), counted, strict=True) if counts]
        parts = [
            FetchTarget(family=page.list.family, stripe_id=str(raw["id"]))
            for raw, counts in zip(page.objects, counted, strict=True)
            if counts and shows_a_part(page.list.family, raw)
        ]
        if parts:
            whole = {each.name: each for each in self.api.fetch(tuple(parts))}
            shown = [whole.get(each.name, each) for each in shown]
        left_out = Counter({f"{page.list.name}.left_out": counted.count(False)})
        self.store(page.list.name, shown, save, +left_out)

    def store(
        self,
        name: str,
        shown: Sequence[ApiObservation],
        save: Save,
        besides: Counter[str] | None = None,
    ) -> None:
        """Store observations, counted under the name of their list, and ``besides`` with them.

        An answer of the same second as another one that differs is asked for again.

        Raises:
            ApiFailure: Stripe does not answer again.
            RunLost: the run was cancelled, or another process has it.
        """
        before = self.run.counts + (besides or Counter())
        asked: dict[str, ApiObservation] = {each.id: each for each in shown}

        def count(changes: Sequence[ObservedChange]) -> None:
            self.run.counts = before + _counted(name, changes)

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
            known = find_known(connection, self.realm, followed)
            named = find_named(connection, self.realm, bills)
        left_out = self.scope.left_out(objects, known=known, named=named)
        return [not each for each in left_out]


def _counted(name: str, changes: Sequence[ObservedChange]) -> Counter[str]:
    return Counter(f"{name}.{_became(change)}" for change in changes)


def _became(change: ObservedChange) -> str:
    if change.observed.observation.gone:
        return "gone"
    if change.unchanged:
        return "unchanged"
    return "changed" if change.known else "new"
