"""Read the features of each customer that Stripe's entitlements give: one request a customer.

Stripe lists them for one customer only, and only a running subscription gives any. Asked for are
therefore customers with one, and those of whom features are known. The order is that of their ids,
so a run that was killed goes on behind the last one that was stored.
https://docs.stripe.com/api/entitlements/active-entitlement/list
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Final

from sqlalchemy import Connection, text

from billing.fetching.observations import ApiObservation
from billing.fetching.plan import SUMMARY
from billing.fetching.record import FetchTarget
from billing.ids import summary_key
from billing.json_fields import objects_in
from billing.statuses import SUBSCRIPTION_ENDED
from ops.backfill.held_objects import HeldObject
from ops.backfill.taker import PageTaker
from ops.stripe_runs.asking import PatientApi
from ops.stripe_runs.lists import Span
from ops.stripe_runs.ranges import ListPart
from ops.stripe_runs.stored_ranges import load_parts, save_parts

NAME: Final = "active_entitlements"
"""The name of this list in counts and ranges."""

_EACH: Final = 10
"""Customers that one thread asks for, before all that were asked for are stored together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureReader:
    """Reads the features of the customers of one account and mode, each of ``apis`` in a thread."""

    taker: PageTaker
    apis: Sequence[PatientApi]
    is_stopping: Callable[[], bool]
    show: Callable[[], None]
    """Called after each time that something was stored."""

    def read(self) -> None:
        """Store the features of every customer who may have some, until a person stops it.

        Raises:
            ApiFailure: Stripe does not answer, or the key may not read this.
            RunLost: the run was cancelled, or another process has it.
        """
        part = self._begin()
        with ThreadPoolExecutor(len(self.apis), thread_name_prefix="stripe-features") as threads:
            while not (part.done or self.is_stopping()):
                part = self._read_some(part, threads)
                self.show()

    def _begin(self) -> ListPart:
        with self.taker.engine.connect() as connection:
            stored = load_parts(connection, self.taker.run.id)
        begun = (part for part in stored if part.list == NAME)
        return next(begun, ListPart(list=NAME, position=0, span=Span()))

    def _read_some(self, part: ListPart, threads: ThreadPoolExecutor) -> ListPart:
        size = _EACH * len(self.apis)
        with self.taker.engine.connect() as connection:
            customers = self._customers(connection, part.cursor or "", size)
            known = self._with_features(connection, customers)
        groups = [customers[first :: len(self.apis)] for first in range(len(self.apis))]
        answers = threads.map(_ask, self.apis, groups)
        shown = [each for some in answers for each in some]
        kept = [
            HeldObject(list=NAME, holder=each.object_id, observation=each)
            for each in shown
            if each.object_id in known or _has_some(each)
        ]
        after = replace(
            part,
            cursor=customers[-1] if customers else part.cursor,
            pages=part.pages + len(customers),
            objects=part.objects + len(customers),
            done=len(customers) < size,
        )

        def save(connection: Connection) -> None:
            self.taker.run.beat(connection)
            save_parts(connection, self.taker.run.id, [after])

        self.taker.store(kept, save)
        return after

    def _customers(self, connection: Connection, after: str, size: int) -> list[str]:
        values = {
            "realm": self.taker.realm,
            "ended": sorted(SUBSCRIPTION_ENDED),
            "after": after,
            "size": size,
            "summaries": summary_key(self.taker.realm, ""),
        }
        return list(connection.scalars(_CUSTOMERS, values))

    def _with_features(self, connection: Connection, customers: Sequence[str]) -> frozenset[str]:
        keys = {summary_key(self.taker.realm, each): each for each in customers}
        found = connection.scalars(_KNOWN, {"keys": [*keys]})
        return frozenset(keys[key] for key in found)


def _ask(api: PatientApi, customers: Sequence[str]) -> list[ApiObservation]:
    targets = [FetchTarget(family=SUMMARY, stripe_id=customer) for customer in customers]
    return [shown for target in targets for shown in api.fetch((target,))]


def _has_some(shown: ApiObservation) -> bool:
    raw = shown.raw
    return raw is not None and bool(objects_in(raw, "entitlements"))


_CUSTOMERS: Final = text(
    "SELECT stripe_customer_id FROM (SELECT stripe_customer_id FROM subscriptions"
    " WHERE realm = :realm AND status <> ALL(:ended) AND stripe_customer_id IS NOT NULL"
    " UNION SELECT substr(object_key, length(:summaries) + 1) FROM memberships"
    # One index orders keys by their bytes, and no id has a character above the tilde.
    " WHERE object_key ~>~ (:summaries || :after) AND object_key ~<~ (:summaries || '~')) AS asked"
    " WHERE stripe_customer_id > :after ORDER BY stripe_customer_id LIMIT :size"
)
_KNOWN: Final = text("SELECT object_key FROM memberships WHERE object_key = ANY(:keys)")
