"""Payments with all that belongs to them: the parts of a party's past that are archived whole.

Objects that one fact names together are one component. What all payments of a customer share (the
customer, its subscriptions, what a person said) connects nothing: it stays loaded, and components
depend on it (``dependencies``).
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime

from billing.facts import CheckoutSessionFields, Fact, InvoiceFields, Kind
from billing.ids import ObjectKey, object_key, realm_in, stripe_id_of

PAYMENT_KINDS = frozenset(
    {
        Kind.CHECKOUT_SESSION,
        Kind.PAYMENT_INTENT,
        Kind.CHARGE,
        Kind.REFUND,
        Kind.DISPUTE,
        Kind.INVOICE,
        Kind.INVOICE_PAYMENT,
        Kind.CREDIT_NOTE,
    }
)
"""The kinds of objects that describe one payment."""


@dataclass(slots=True)
class Component:
    """One payment, or an invoice and the payments that may be its money, with their facts.

    ``keys`` are all objects that its facts name, but for what payments share.
    """

    facts: list[Fact] = field(default_factory=list)
    keys: set[ObjectKey] = field(default_factory=set)

    @property
    def newest_at(self) -> datetime:
        """The time of its newest observation."""
        return max(fact.created_at for fact in self.facts)

    @property
    def invoices(self) -> list[ObjectKey]:
        """The invoices that it names."""
        return sorted(key for key in self.keys if stripe_id_of(key).startswith("in_"))

    @property
    def name(self) -> ObjectKey:
        """Its invoice, else the lowest of its keys."""
        return min(self.invoices or self.keys)


def components_of(
    facts: Iterable[Fact], together: Iterable[Iterable[ObjectKey]] = ()
) -> list[Component]:
    """Return the components, the oldest first; the keys of each ``together`` are in one."""
    of_payments = [fact for fact in facts if fact.kind in PAYMENT_KINDS]
    shared = frozenset(key for fact in of_payments for key in _shared_by(fact))
    leader: dict[ObjectKey, ObjectKey] = {}
    for keys in together:
        _join(leader, keys)
    for fact in of_payments:
        _join(leader, _own_keys(fact, shared))
    found: dict[ObjectKey, Component] = {}
    for fact in of_payments:
        component = found.setdefault(_leader_of(leader, fact.object_key), Component())
        component.facts.append(fact)
    for key in tuple(leader):
        if component_of_key := found.get(_leader_of(leader, key)):
            component_of_key.keys.add(key)
    return sorted(found.values(), key=lambda each: (each.newest_at, each.name))


def _shared_by(fact: Fact) -> Iterator[ObjectKey]:
    """Yield the customer and the subscriptions that a fact of a payment names."""
    names: list[str | None] = [fact.customer_id]
    if isinstance(fact.fields, InvoiceFields):
        names += [fact.fields.subscription, *(line.subscription for line in fact.fields.lines)]
    elif isinstance(fact.fields, CheckoutSessionFields):
        names.append(fact.fields.subscription)
    realm = realm_in(fact.object_key)
    yield from (object_key(realm, name) for name in names if name)


def _own_keys(fact: Fact, shared: frozenset[ObjectKey]) -> list[ObjectKey]:
    return [key for key in fact.mentions if key not in shared or key == fact.object_key]


def _join(leader: dict[ObjectKey, ObjectKey], keys: Iterable[ObjectKey]) -> None:
    first: ObjectKey | None = None
    for key in keys:
        its_leader = _leader_of(leader, key)
        first = its_leader if first is None else first
        leader[its_leader] = first


def _leader_of(leader: dict[ObjectKey, ObjectKey], key: ObjectKey) -> ObjectKey:
    while (above := leader.setdefault(key, key)) != key:
        leader[key] = leader[above]
        key = above
    return key
