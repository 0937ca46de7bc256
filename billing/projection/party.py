"""Facts, then projection: what follows from all facts of one party, a catalogue and a moment.

``project`` is a pure function of the set of facts. ``PartyFacts`` is the same function for a party
that grows: it keeps what each object amounts to, and condenses again only what a fact touched.
"""

from collections.abc import Iterable, Iterator
from datetime import datetime

from billing.catalogue import Catalogue
from billing.facts import Fact, Kind
from billing.ids import CustomerId, EventId, ObjectKey, Realm, object_key, realm_in
from billing.objects.ordering import order
from billing.objects.store import Objects
from billing.projection.grants import Granted
from billing.projection.invoices import keep_books
from billing.projection.ownership import Users
from billing.projection.payment_rows import project_payments
from billing.projection.plan_lookup import Shelf
from billing.projection.purchase_access import project_purchases
from billing.projection.purchases import Purchase, purchases_of, unlisted
from billing.projection.stripe_entitlements import project_summaries
from billing.projection.subscriptions import Begun, Source, project_subscriptions, sources_of
from billing.rows import CustomerRow, PaymentRow, Projection


def project(facts: Iterable[Fact], catalogue: Catalogue, now: datetime) -> Projection:
    """Everything that follows from the facts of one party; their order and repetition do not."""
    return PartyFacts(facts).project(catalogue, now)


class PartyFacts:
    """The facts of a party while a batch adds to them."""

    def __init__(self, facts: Iterable[Fact] = ()) -> None:
        self._facts: dict[tuple[Kind, ObjectKey], dict[EventId, Fact]] = {}
        self._realms: dict[Realm, Objects] = {}
        self._touched: set[tuple[Kind, ObjectKey]] = set()
        self._states: dict[tuple[Kind, ObjectKey], Fact] = {}
        self._shelf: Shelf | None = None
        self.add(facts)

    def __iter__(self) -> Iterator[Fact]:
        return (fact for known in self._facts.values() for fact in known.values())

    def add(self, facts: Iterable[Fact]) -> None:
        """Learn facts; one that is known already changes nothing."""
        for fact in facts:
            place = (fact.kind, fact.object_key)
            known = self._facts.setdefault(place, {})
            if known.get(fact.event_id) != fact:
                known[fact.event_id] = fact
                self._touched.add(place)

    def replace(self, event_id: EventId, facts: Iterable[Fact]) -> None:
        """Let an event state these facts and none of those it stated before."""
        for place, known in self._facts.items():
            if known.pop(event_id, None):
                self._touched.add(place)
        self.add(facts)

    def project(self, catalogue: Catalogue, now: datetime) -> Projection:
        """What follows from the facts known so far."""
        self._condense()
        if self._shelf is None or self._shelf.catalogue is not catalogue:
            self._shelf = Shelf(catalogue=catalogue)
        shelf = self._shelf
        return _together([_project_realm(each, shelf, now) for each in self._realms.values()])

    def state_of(self, fact: Fact) -> Fact:
        """The newest fact about the object of this one, as of the last projection."""
        return self._states[fact.kind, fact.object_key]

    def _condense(self) -> None:
        for kind, key in self._touched:
            objects = self._objects_in(realm_in(key))
            if known := self._facts[kind, key]:
                history = order(known.values())
                self._states[kind, key] = history.newest
                objects.put(kind, key, history)
            else:
                objects.drop(kind, key)
        self._touched.clear()

    def _objects_in(self, realm: Realm) -> Objects:
        if realm not in self._realms:
            self._realms[realm] = Objects(realm=realm)
        return self._realms[realm]


def _project_realm(objects: Objects, shelf: Shelf, now: datetime) -> Projection:
    """Users first, then money, then what access and purchases make of both."""
    shelf.unknown.clear()
    users, books = Users(objects), keep_books(objects)
    granted = Granted(realm=objects.realm)
    sources = sources_of(objects, users)
    subscriptions = project_subscriptions(sources, users, shelf, granted, now)
    purchases = purchases_of(objects, books, shelf)
    bought = project_purchases(purchases, books, users, shelf.catalogue.policy, granted)
    project_summaries(objects, users, granted)
    payments = project_payments(objects, books, users, shelf, purchases)
    return Projection(
        customers={row.key: row for row in _customers(objects, users)},
        subscriptions={row.key: row for row in subscriptions},
        purchases={row.key: row for row in bought},
        payments={row.key: row for row in payments},
        entitlements=granted.rows,
        due_at=granted.due_at,
        unknown_prices=frozenset(shelf.unknown),
        waiting=granted.waiting or any(map(_waits, payments)),
        incomplete_summaries=_incomplete(objects),
        missing_subscriptions=_missing(sources),
        undecided=frozenset([key for _, key in objects.undecided]),
        unlisted=_unlisted(objects, purchases),
    )


def _customers(objects: Objects, users: Users) -> list[CustomerRow]:
    """A customer has a row as soon as anything names it."""
    named = frozenset[CustomerId]().union(*objects.customers_named.values())
    return [
        CustomerRow(realm=objects.realm, stripe_customer_id=each, user_id=users.of_customer(each))
        for each in named
    ]


def _waits(payment: PaymentRow) -> bool:
    """Money that came in and is nobody's yet."""
    return payment.user_id is None and payment.amount_minor > 0


def _incomplete(objects: Objects) -> frozenset[CustomerId]:
    summaries = objects.summaries.values()
    return frozenset([each.customer_id for each in summaries if not each.complete])


def _missing(sources: Iterable[Source]) -> frozenset[str]:
    """Subscriptions that a checkout speaks for because no snapshot came."""
    return frozenset([source.id for source in sources if isinstance(source.speaker, Begun)])


def _unlisted(objects: Objects, purchases: Iterable[Purchase]) -> frozenset[ObjectKey]:
    return frozenset([object_key(objects.realm, each.id) for each in unlisted(objects, purchases)])


def _together(parts: list[Projection]) -> Projection:
    """One projection of all realms; nearly always there is only one."""
    if len(parts) == 1:
        return parts[0]
    whole = Projection()
    for part in parts:
        whole = Projection(
            customers={**whole.customers, **part.customers},
            subscriptions={**whole.subscriptions, **part.subscriptions},
            purchases={**whole.purchases, **part.purchases},
            payments={**whole.payments, **part.payments},
            entitlements={**whole.entitlements, **part.entitlements},
            due_at=min(filter(None, (whole.due_at, part.due_at)), default=None),
            unknown_prices=whole.unknown_prices | part.unknown_prices,
            waiting=whole.waiting or part.waiting,
            incomplete_summaries=whole.incomplete_summaries | part.incomplete_summaries,
            missing_subscriptions=whole.missing_subscriptions | part.missing_subscriptions,
            undecided=whole.undecided | part.undecided,
            unlisted=whole.unlisted | part.unlisted,
        )
    return whole
