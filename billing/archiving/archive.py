"""Archiving: a party's past is kept, but most of it is not loaded any more.

Payments older than the newest few are archived whole, each with all that belongs to it. Of an
object with many observations those are archived that no later one needs. Whether anything may go is
not guessed: the party is projected without it, and only what leaves everything else as it was goes.
What holds in the future as well is decided by ``dependencies``.
"""

from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final, NamedTuple

from billing.archiving.components import Component, components_of
from billing.archiving.dependencies import Dependencies, dependencies_of, has_clock, passes_in
from billing.archiving.leaving import Leaving, what_leaves
from billing.archiving.observations import invoice_named, spare_observations
from billing.archiving.old_payments import old_payments
from billing.archiving.special_keys import OpenMoney, keys_of_invoices, keys_referred_to, open_money
from billing.catalogue import Catalogue
from billing.facts import Fact, Kind
from billing.ids import EventId, ObjectKey, object_key
from billing.projection.invoices import invoices_referred_to
from billing.projection.party import PartyFacts, ProjectedRealm
from billing.rows import Projection, PurchaseRow

COMPACTED: Final = frozenset({Kind.CUSTOMER, Kind.ENTITLEMENT_SUMMARY, Kind.SUBSCRIPTION})
"""Kinds of objects that live for years and are observed again and again."""

MAX_REFUSALS: Final = 12
"""Each refusal costs a projection; what is refused waits until the party has grown again."""

_NEVER: Final = datetime.min.replace(tzinfo=UTC)

FactKey = tuple[EventId, ObjectKey]


class Archive(NamedTuple):
    """One archive: the facts in it, the objects that events find it by, and its special keys."""

    name: str
    facts: tuple[FactKey, ...]
    keys: tuple[ObjectKey, ...]
    special_keys: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Archived:
    """Everything that goes into archives, and what the rest of the party then depends on.

    ``leaving`` are the rows and notes that go, and ``rest`` is the projection without them.
    ``until`` is the newest moment of anything in an archive of the party.
    """

    archives: tuple[Archive, ...]
    leaving: Leaving
    rest: Projection
    dependencies: Dependencies
    until: datetime


class _Part(NamedTuple):
    """A payment, or observations of one object: archived together or not at all."""

    facts: tuple[Fact, ...]
    component: Component | None = None


@dataclass(slots=True)
class _Party:
    """The party as it was just projected, with what archiving asks of it."""

    facts: PartyFacts
    projection: Projection
    catalogue: Catalogue
    now: datetime
    until: datetime
    money: list[OpenMoney] = field(default_factory=list)
    refusals: int = 0
    rest: tuple[PartyFacts, Projection] | None = None
    """The rest of the party, and its projection, without the parts that were last found to go."""

    def without(self, parts: Sequence[_Part]) -> "tuple[PartyFacts, Projection]":
        """Return the rest of the party and its projection."""
        gone = {_key(fact) for part in parts for fact in part.facts}
        rest = PartyFacts(fact for fact in self.facts if _key(fact) not in gone)
        return rest, rest.project(self.catalogue, self.now)

    def grow(self, chosen: list[_Part], more: list[_Part]) -> list[_Part]:
        """Add as many parts as leave the rest as it was, halving those that do not."""
        if not more or _leave_the_rest(self, [*chosen, *more]):
            return [*chosen, *more]
        self.refusals += 1
        if len(more) == 1 or self.refusals > MAX_REFUSALS:
            return chosen
        middle = len(more) // 2
        return self.grow(self.grow(chosen, more[:middle]), more[middle:])

    def until_with(self, parts: Sequence[_Part]) -> datetime:
        """Return the newest moment of anything archived, once these parts are."""
        components = _components_in(parts)
        keys = frozenset[ObjectKey]().union(*(each.keys for each in components))
        moments = [each.newest_at for each in components]
        moments += [at for each in self.money if each.ref in keys for at in each.moments]
        ends = (row.ends_at for row in self._purchases_of(keys))
        return max((self.until, *moments, *filter(None, ends)))

    def _purchases_of(self, keys: frozenset[ObjectKey]) -> list[PurchaseRow]:
        rows = self.projection.purchases.values()
        return [row for row in rows if object_key(row.realm, row.purchase_ref) in keys]


def archive(
    facts: PartyFacts,
    projection: Projection,
    catalogue: Catalogue,
    now: datetime,
    until: datetime | None = None,
) -> Archived | None:
    """Return what may go into archives now; None if nothing may.

    ``facts`` were just projected to ``projection``. ``until`` is the newest moment of what is
    archived already and not among ``facts``.
    """
    if any(has_clock(realm.objects) for realm in facts.realms):
        return None
    party = _Party(facts, projection, catalogue, now, until or _NEVER)
    party.money = [each for realm in facts.realms for each in open_money(realm)]
    together = [*_paired(party.money), *(keys for each in facts.realms for keys in _linked(each))]
    components = components_of(facts, together)
    realms = {realm.objects.realm: realm for realm in facts.realms}
    old = old_payments(components, realms, now)
    chosen = party.grow([], [_Part(tuple(each.facts), each) for each in old])
    kept = (
        frozenset[ObjectKey]()
        .union(*(each.keys for each in components))
        .difference(*(part.component.keys for part in chosen if part.component))
    )
    chosen = party.grow(chosen, _spare_parts(party, kept))
    return _archived(party, chosen) if chosen else None


def _key(fact: Fact) -> FactKey:
    return fact.event_id, fact.object_key


def _linked(realm: ProjectedRealm) -> Iterator[list[ObjectKey]]:
    """Yield each invoice with its payments, and each payment with all that its reference fits."""
    linked = [(match.ref, match.payments) for match in realm.matched.matches.values()]
    for ref, others in (*linked, *invoices_referred_to(realm.objects)):
        yield [object_key(realm.objects.realm, each) for each in (ref, *others)]


def _paired(money: Iterable[OpenMoney]) -> list[tuple[ObjectKey, ObjectKey]]:
    """Return each invoice with each payment that is, or might be, its money without a link."""
    payments: dict[str, list[ObjectKey]] = {}
    invoices = []
    for each in money:
        if each.is_invoice:
            invoices.append(each)
        else:
            for minute in each.keys:
                payments.setdefault(minute, []).append(each.ref)
    return [
        (each.ref, ref)
        for each in invoices
        for minute in each.near
        for ref in payments.get(minute, ())
    ]


def _spare_parts(party: _Party, kept: frozenset[ObjectKey]) -> list[_Part]:
    """Return the spare observations of each object; one that names a loaded invoice is kept."""
    parts = []
    for kind, history in party.facts.histories():
        if kind in COMPACTED:
            spare = spare_observations(history, party.catalogue.identity, kept)
            parts += [_Part(spare)] if spare else []
    return parts


def _leave_the_rest(party: _Party, parts: Sequence[_Part]) -> bool:
    """Return True if the rest of the party is projected as before without these parts."""
    rest, projection = party.without(parts)
    if what_leaves(party.projection, projection, _components_in(parts)) is None:
        return False
    until = party.until_with(parts)
    if _without_passes(rest, until) != _without_passes(party.facts, until):
        return False
    party.rest = rest, projection
    return True


def _components_in(parts: Iterable[_Part]) -> list[Component]:
    return [part.component for part in parts if part.component]


def _without_passes(facts: PartyFacts, until: datetime) -> dict[str, str]:
    dependencies = dependencies_of(facts.realms, until)
    passes = passes_in(dependencies)
    return {name: value for name, value in dependencies.items() if name not in passes}


def _archived(party: _Party, parts: Sequence[_Part]) -> Archived:
    assert party.rest is not None, "it was tried"  # noqa: S101 - for the reader
    rest, projection = party.rest
    until = party.until_with(parts)
    leaving = what_leaves(party.projection, projection, _components_in(parts))
    assert leaving is not None, "it was tried"  # noqa: S101 - for the reader
    return Archived(
        archives=tuple(_archives(parts, party.money, rest)),
        leaving=leaving,
        rest=projection,
        dependencies=dependencies_of(rest.realms, until),
        until=until,
    )


def _archives(
    parts: Iterable[_Part], money: Iterable[OpenMoney], rest: Iterable[Fact]
) -> Iterator[Archive]:
    keys_of = {each.ref: each.keys for each in money}
    named = {(fact.object_key, invoice_named(fact)) for fact in rest}
    for part in parts:
        if part.component:
            yield _archive_of_payment(part.component, keys_of)
        else:
            yield from _archives_of_observations(part.facts, named)


def _archive_of_payment(
    component: Component, keys_of: Mapping[ObjectKey, frozenset[str]]
) -> Archive:
    of_money = (keys_of[key] for key in component.keys if key in keys_of)
    references = (*keys_of_invoices(component.invoices), *keys_referred_to(component.facts))
    special = frozenset(references).union(*of_money)
    facts = tuple(map(_key, component.facts))
    return Archive(component.name, facts, tuple(sorted(component.keys)), tuple(sorted(special)))


def _archives_of_observations(
    facts: Iterable[Fact], named: Container[tuple[ObjectKey, ObjectKey | None]]
) -> Iterator[Archive]:
    """Yield the observations that name one invoice together, to be found with it.

    ``named`` are the objects that stay loaded, each with an invoice that it names. That observation
    says it for the others of its object, so these need not be found.
    """
    by_invoice: dict[ObjectKey | None, list[Fact]] = {}
    for fact in facts:
        invoice = invoice_named(fact)
        known = (fact.object_key, invoice) in named
        by_invoice.setdefault(None if known else invoice, []).append(fact)
    for invoice, naming in by_invoice.items():
        keys = (invoice,) if invoice else ()
        name = invoice or f"{naming[0].object_key} observations"
        yield Archive(name, tuple(map(_key, naming)), keys, tuple(keys_of_invoices(keys)))
