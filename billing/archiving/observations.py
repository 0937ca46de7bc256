"""The observations of one object that may be archived, and those that an older one needs back.

A subscription can have thousands of observations, and its rows follow from few of them. The others
are spare: with or without them, every later observation leads to the same rows, by every plan and
policy of a catalogue that reads the user at the same places. An older one may come between two that
are spare, so those around it are loaded first. What is spare of the loaded ones is then spare of
all.

Two properties of the order carry this (``billing/objects/ordering.py``). The order inside a second
depends on all of its facts and on the state before them, and on nothing else. A second with one
fact ends in the state of that fact, so no change before it reaches what comes after it.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import datetime
from itertools import pairwise

from billing.catalogue import Identity
from billing.facts import (
    CustomerFields,
    EntitlementSummaryFields,
    Fact,
    SubscriptionFields,
    metadata_value,
)
from billing.ids import ObjectKey, object_key, realm_in
from billing.objects.ordering import ObjectHistory
from billing.objects.user_statements import user_in
from billing.statuses import PAST_DUE, SUBSCRIPTION_ENDED, SUBSCRIPTION_GRANTS


def spare_observations(
    history: ObjectHistory, identity: Identity, invoices: Collection[ObjectKey] = ()
) -> tuple[Fact, ...]:
    """Return the observations of an object that no row needs, nor any later observation.

    Two fields of a subscription's state need all of them. Of ``invoices`` those count that are
    given: the last observation that names one is kept. ``latest_moment`` counts in the time of a
    test clock alone. With a test clock or a list that Stripe cut off, nothing is spare. Nor is it
    of kinds other than subscriptions, customers and entitlement summaries: Stripe changes their
    objects a few times and then no more.
    """
    facts = history.facts
    traits = [_traits(fact, identity) for fact in facts]
    if None in traits:
        return ()
    missed = (place for place, fact in enumerate(facts) if _shows_missed_change(fact, identity))
    naming = {invoice_named(fact): place for place, fact in enumerate(facts)}
    named = (place for invoice, place in naming.items() if invoice in invoices)
    needed = {*_changes(facts, traits), *missed, *_deciding(facts), *named}
    kept = _with_order(facts, needed)
    return tuple(fact for place, fact in enumerate(facts) if place not in kept)


def invoice_named(fact: Fact) -> ObjectKey | None:
    """Return the invoice that an observation of a subscription names as its latest."""
    if isinstance(fact.fields, SubscriptionFields) and fact.fields.latest_invoice:
        return object_key(realm_in(fact.object_key), fact.fields.latest_invoice)
    return None


def observations_around(facts: Iterable[Fact], at: datetime) -> tuple[Fact, ...]:
    """Return the facts of an object that decide where a fact of a second belongs.

    They go from the last second before it that has one fact to the first such second after it, or
    to the end of the facts. Usually these are two.
    """
    known = tuple(facts)
    second = _second(at)
    sizes = Counter(_second(fact.created_at) for fact in known)
    single = [each for each, size in sizes.items() if size == 1]
    first = max((each for each in single if each < second), default=min((*sizes, second)))
    last = min((each for each in single if each > second), default=max((*sizes, second)))
    return tuple(fact for fact in known if first <= _second(fact.created_at) <= last)


def _traits(fact: Fact, identity: Identity) -> tuple[object, ...] | None:
    """Return what rows remember every change of; None if nothing of the object is spare.

    Of metadata that is the user, and of a subscription the plan as well.
    """
    match fact.fields:
        case SubscriptionFields(test_clock=None, items_complete=True) as fields:
            user = user_in(fields.metadata, identity)
            plan_code = metadata_value(fields.metadata, "plan_code")
            items = [
                (item.id, item.price, item.lookup_key, item.product, item.quantity == 0)
                for item in fields.items
            ]
            return (fact.customer_id, fields.own_created_at, user, plan_code, items)
        case CustomerFields(test_clock=None) as fields:
            return (fact.customer_id, fields.own_created_at, user_in(fields.metadata, identity))
        case EntitlementSummaryFields(complete=True):
            return (fact.customer_id,)
        case _:
            return None


def _shows_missed_change(fact: Fact, identity: Identity) -> bool:
    """Return True if it undoes to another user, whom no other fact need show."""
    match fact.fields, fact.before:
        case (SubscriptionFields() as now, SubscriptionFields() as before) | (
            CustomerFields() as now,
            CustomerFields() as before,
        ):
            return user_in(now.metadata, identity) != user_in(before.metadata, identity)
        case _:
            return False


def _changes(facts: Sequence[Fact], traits: Sequence[object]) -> Iterator[int]:
    """Yield the places where the traits change, and those where quantities alone do, as needed.

    While the traits stay the same, so do the plans. They are held since the first of these facts,
    and in the quantities of the last. Facts of one second may state fractions of it in any order,
    so the first time of the plans may be that of any change in the first second.
    """
    quantities = [_quantities(fact) for fact in facts]
    seconds = [_second(fact.created_at) for fact in facts]
    for run in _runs(traits):
        changed = [place for place in run[1:] if quantities[place] != quantities[place - 1]]
        at_first = (place for place in changed if seconds[place] == seconds[run.start])
        yield from (run.start, *at_first, *changed[-1:])


def _quantities(fact: Fact) -> list[int]:
    fields = fact.fields
    items = fields.items if isinstance(fields, SubscriptionFields) else ()
    return [item.quantity for item in items]


def _deciding(facts: Sequence[Fact]) -> Iterator[int]:
    """Yield the places of facts that decide something however many are like them."""
    shown = [fact.fields for fact in facts]
    statuses = [each.status for each in shown if isinstance(each, SubscriptionFields)]
    lists = [each.lookup_keys for each in shown if isinstance(each, EntitlementSummaryFields)]
    ends = [place for place, status in enumerate(statuses) if status in SUBSCRIPTION_ENDED]
    granting = [place for place, status in enumerate(statuses) if status in SUBSCRIPTION_GRANTS]
    not_past_due = [place for place, status in enumerate(statuses) if status != PAST_DUE]
    listing = [place for place, listed in enumerate(lists) if listed]
    yield from (*ends, *granting[-1:], *listing[-1:])
    if not_past_due:
        yield max(not_past_due, key=lambda place: facts[place].created_at)
        yield min(not_past_due[-1] + 1, len(facts) - 1)  # the first that is past due now


def _with_order(facts: Sequence[Fact], needed: Iterable[int]) -> set[int]:
    """Add the places of the facts on which the order of the needed ones depends.

    Two of one second need all of it and the last fact before it, as does the newest second, into
    which later facts may fall. One that stands alone in its second has its place by that.
    """
    kept = set(needed)
    for second in reversed(_runs([_second(fact.created_at) for fact in facts])):
        if second.stop == len(facts) or len(kept.intersection(second)) > 1:
            kept.update(range(max(0, second.start - 1), second.stop))
    return kept


def _runs(values: Sequence[object]) -> list[range]:
    """Return the places of each run of equal values."""
    starts = [place for place, (a, b) in enumerate(pairwise(values), 1) if a != b]
    return [range(*ends) for ends in pairwise((0, *starts, len(values)))]


def _second(at: datetime) -> datetime:
    return at.replace(microsecond=0)
