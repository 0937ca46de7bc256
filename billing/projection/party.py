"""Facts, then projection: what follows from all facts of one party, a catalogue and a moment.

``project`` is a pure function of the set of facts. ``PartyFacts`` computes the same for a party
that grows. It keeps the state of each object, and folds again only the objects with new facts.
"""

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import NamedTuple

from billing.catalogue import Catalogue
from billing.facts import Fact, Kind
from billing.ids import CustomerId, EventId, ObjectKey, Realm, UserId, object_key, realm_in
from billing.objects.ordering import ObjectHistory, order_facts
from billing.objects.store import RealmObjects
from billing.projection.clocks import Clocks
from billing.projection.grants import GrantCollector
from billing.projection.invoices import MatchedPayments, match_invoices
from billing.projection.operator_grants import project_operator_grants
from billing.projection.ownership import Ownership
from billing.projection.payment_rows import project_payments
from billing.projection.plan_lookup import PlanLookup, most_pressing
from billing.projection.purchase_access import PurchaseContext, project_purchases
from billing.projection.purchase_ends import CreditNotes, ReturnContext
from billing.projection.purchase_lines import SubscriptionPlans
from billing.projection.purchases import OneTimePurchase, purchases_of
from billing.projection.stripe_entitlements import project_summaries
from billing.projection.subscription_sources import sources_of
from billing.projection.subscriptions import SubscriptionContext, project_subscriptions
from billing.projection.without_grant import note_empty_plans, note_paid_lines
from billing.rows import CustomerRow, PaymentRow, Projection


def project(facts: Iterable[Fact], catalogue: Catalogue, now: datetime) -> Projection:
    """Return everything that follows from the facts, for any order and repetition of them."""
    return PartyFacts(facts).project(catalogue, now)


class ProjectedRealm(NamedTuple):
    """The projection of one realm, and what it was made from."""

    projection: Projection
    objects: RealmObjects
    matched: MatchedPayments
    ownership: Ownership
    lookup: PlanLookup
    bought: tuple[OneTimePurchase, ...]


class PartyFacts:
    """The facts of a party while a batch adds to them.

    ``realms`` are those of the last projection.
    """

    def __init__(self, facts: Iterable[Fact] = ()) -> None:
        self._facts: dict[tuple[Kind, ObjectKey], dict[EventId, Fact]] = {}
        self._realms: dict[Realm, RealmObjects] = {}
        self._touched: set[tuple[Kind, ObjectKey]] = set()
        self._states: dict[tuple[Kind, ObjectKey], Fact] = {}
        self._lookup: PlanLookup | None = None
        self.realms: tuple[ProjectedRealm, ...] = ()
        self.add(facts)

    def __iter__(self) -> Iterator[Fact]:
        return (fact for known in self._facts.values() for fact in known.values())

    def add(self, facts: Iterable[Fact]) -> None:
        """Add facts; a fact that is known already changes nothing."""
        for fact in facts:
            place = (fact.kind, fact.object_key)
            known = self._facts.setdefault(place, {})
            if known.get(fact.event_id) != fact:
                known[fact.event_id] = fact
                self._touched.add(place)

    def replace(self, event_id: EventId, facts: Iterable[Fact]) -> None:
        """Replace all facts of an event by these."""
        for place, known in self._facts.items():
            if known.pop(event_id, None):
                self._touched.add(place)
        self.add(facts)

    def project(self, catalogue: Catalogue, now: datetime) -> Projection:
        """Return the projection of the present facts."""
        self._condense()
        if self._lookup is None or self._lookup.catalogue is not catalogue:
            self._lookup = PlanLookup(catalogue=catalogue)
        lookup = self._lookup
        self.realms = tuple(_project_realm(each, lookup, now) for each in self._realms.values())
        return _merge_realms([each.projection for each in self.realms])

    def histories(self) -> Iterator[tuple[Kind, ObjectHistory]]:
        """Yield the kind and the observations of every object, in order."""
        for (kind, _), known in self._facts.items():
            if known:
                yield kind, order_facts(known.values())

    def state_of(self, fact: Fact) -> Fact:
        """Return the newest fact about this fact's object, as of the last projection."""
        return self._states[fact.kind, fact.object_key]

    def _condense(self) -> None:
        for kind, key in self._touched:
            objects = self._objects_in(realm_in(key))
            if known := self._facts[kind, key]:
                history = order_facts(known.values())
                self._states[kind, key] = history.newest
                objects.put(kind, key, history)
            else:
                objects.drop(kind, key)
        self._touched.clear()

    def _objects_in(self, realm: Realm) -> RealmObjects:
        if realm not in self._realms:
            self._realms[realm] = RealmObjects(realm=realm)
        return self._realms[realm]


def _project_realm(objects: RealmObjects, lookup: PlanLookup, now: datetime) -> ProjectedRealm:
    """Return the projection of one realm: owners first, then money, then access."""
    lookup.without_grant.clear()
    matched = match_invoices(objects)
    ownership = Ownership(objects, matched, lookup.catalogue.identity)
    grants = GrantCollector(realm=objects.realm)
    sources = sources_of(objects, ownership)
    clocks = Clocks(objects, now)
    context = SubscriptionContext(matched, lookup, clocks)
    subscriptions = project_subscriptions(sources, ownership, context, grants)
    plans = SubscriptionPlans(objects=objects, lookup=lookup)
    purchases = purchases_of(objects, matched, plans)
    returns = ReturnContext(matched, CreditNotes(objects), lookup.catalogue.policy)
    bought = project_purchases(
        purchases.ever_bought, PurchaseContext(returns, ownership, clocks), grants
    )
    project_summaries(objects, ownership, grants)
    payments = project_payments(objects, matched, ownership, lookup, purchases.bought)
    note_paid_lines(matched, purchases, plans)
    note_empty_plans(grants.rows.values(), lookup)
    # After the notes of what was paid for and grants nothing: a gift is not paid for.
    project_operator_grants(objects, lookup, now, grants)
    waiting = _without_user(payments, ownership) | grants.candidates
    projection = Projection(
        customers={row.key: row for row in _customers(objects, ownership)},
        subscriptions={row.key: row for row in subscriptions.rows},
        purchases={row.key: row for row in bought},
        payments={row.key: row for row in payments},
        entitlements=grants.rows,
        due_at=grants.due_at,
        without_grant=dict(lookup.without_grant),
        waiting=bool(waiting),
        candidates=waiting,
        incomplete_summaries=_incomplete_summaries(objects),
        incomplete_items=_incomplete_items(objects),
        incomplete_lines=_incomplete_lines(objects),
        missing_subscriptions=subscriptions.missing | _only_billed(objects),
        undecided=frozenset([key for _, key in objects.undecided]),
        without_line_items=frozenset(
            [object_key(objects.realm, name) for name in purchases.assumed]
        ),
        awaiting_invoice=purchases.awaiting_invoice,
    )
    return ProjectedRealm(projection, objects, matched, ownership, lookup, purchases.bought)


def _customers(objects: RealmObjects, ownership: Ownership) -> list[CustomerRow]:
    """Return a row for every customer that any object names."""
    named = frozenset[CustomerId]().union(*objects.customers_named.values())
    return [
        CustomerRow(
            realm=objects.realm,
            stripe_customer_id=each,
            user_id=ownership.of_customer(each).user_id,
        )
        for each in named
    ]


def _without_user(
    payments: Iterable[PaymentRow], ownership: Ownership
) -> dict[str, tuple[UserId, ...]]:
    """Return the money that has no user yet, with the users between whom it waits."""
    return {
        row.payment_ref: ownership.of_paid(row.payment_ref).candidates
        for row in payments
        if row.user_id is None and row.amount_minor > 0
    }


def _only_billed(objects: RealmObjects) -> frozenset[str]:
    """Return the subscriptions of which nothing but a paid invoice is known.

    A customer with Stripe's own features has access without them.
    """
    with_features = {each.customer_id for each in objects.summaries.values()}
    return frozenset(
        [
            each.subscription
            for each in objects.invoices.values()
            if each.granted and each.money and each.money.amount
            if each.subscription and each.subscription not in objects.subscriptions
            if each.customer_id not in with_features
        ]
    )


def _incomplete_summaries(objects: RealmObjects) -> frozenset[CustomerId]:
    summaries = objects.summaries.values()
    return frozenset([each.customer_id for each in summaries if not each.complete])


def _incomplete_items(objects: RealmObjects) -> frozenset[ObjectKey]:
    found = objects.subscriptions.items()
    incomplete = [name for name, each in found if not (each.items_complete or each.ended)]
    return frozenset([object_key(objects.realm, name) for name in incomplete])


def _incomplete_lines(objects: RealmObjects) -> frozenset[ObjectKey]:
    """Return the paid invoices and the credit notes of whose lines only a part is known."""
    invoices = [each.id for each in objects.invoices.values() if each.granted and each.lines.is_cut]
    notes = [each.id for each in objects.credit_notes.values() if each.is_cut and not each.void]
    return frozenset([object_key(objects.realm, name) for name in (*invoices, *notes)])


def _merge_realms(parts: list[Projection]) -> Projection:
    """Return one projection of all realms; nearly always there is only one."""
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
            without_grant=most_pressing(whole.without_grant, part.without_grant),
            waiting=whole.waiting or part.waiting,
            candidates={**whole.candidates, **part.candidates},
            incomplete_summaries=whole.incomplete_summaries | part.incomplete_summaries,
            incomplete_items=whole.incomplete_items | part.incomplete_items,
            incomplete_lines=whole.incomplete_lines | part.incomplete_lines,
            missing_subscriptions=whole.missing_subscriptions | part.missing_subscriptions,
            undecided=whole.undecided | part.undecided,
            without_line_items=whole.without_line_items | part.without_line_items,
            awaiting_invoice=whole.awaiting_invoice | part.awaiting_invoice,
        )
    return whole
