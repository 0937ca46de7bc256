"""Keys by which an event reaches archived payments that it does not name.

An event that names an object loads the archive of that object. Two rules look further. A payment's
order reference may be an invoice's id, cut off; and an invoice and a payment without a link pair by
customer, amount, currency and time. Both are found by keys that an archive is stored under.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from billing.facts import ChargeFields, Fact, PaymentIntentFields
from billing.ids import CustomerId, ObjectKey, Realm, object_key, realm_in, stripe_id_of
from billing.objects.observations import ReceivedMoney
from billing.projection.invoices import (
    SHORTEST_REFERENCE,
    InvoiceMatch,
    MatchedPayments,
    reference_to_invoice,
)
from billing.projection.pairing import PAIRED_WITHIN
from billing.projection.party import ProjectedRealm
from billing.projection.payments import PaymentObjects, money_moments


def keys_of_invoices(invoices: Iterable[ObjectKey]) -> Iterator[str]:
    """Yield the key under which cut-off references find each invoice."""
    for key in invoices:
        yield _reference_key(realm_in(key), stripe_id_of(key))


def keys_referred_to(facts: Iterable[Fact]) -> Iterator[str]:
    """Yield the keys of the invoices to which these facts may refer by a cut-off id."""
    for fact in facts:
        if isinstance(fact.fields, PaymentIntentFields | ChargeFields):
            reference = reference_to_invoice(fact.fields.order_reference)
            yield from [_reference_key(realm_in(fact.object_key), reference)] if reference else ()


def _reference_key(realm: Realm, invoice: str) -> str:
    return f"{realm}:reference {invoice[:SHORTEST_REFERENCE]}"


def _is_invoice(key: ObjectKey) -> bool:
    return stripe_id_of(key).startswith("in_")


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenMoney:
    """An invoice or a payment without a link, which may pair with one that comes later.

    ``alike`` names customer, amount and currency, ``moments`` are those at which its money may have
    come, and ``objects`` are those that state it.
    """

    ref: ObjectKey
    is_invoice: bool
    alike: str
    moments: tuple[datetime, ...]
    objects: frozenset[ObjectKey]

    @property
    def keys(self) -> frozenset[str]:
        """The keys under which it is archived."""
        return frozenset(self._key(at) for at in self.moments)

    @property
    def near(self) -> frozenset[str]:
        """The keys of everything that it may pair with."""
        return self.near_until(max(self.moments))

    def is_touched_by(self, named: frozenset[ObjectKey]) -> bool:
        """Return True if an event that names these objects may have changed it or opened it.

        A second invoice that fits a reference takes the link from the first, without naming it.
        """
        if not named.isdisjoint(self.objects):
            return True
        fitting = keys_of_invoices(key for key in named if _is_invoice(key))
        return self.is_invoice and not set(keys_of_invoices([self.ref])).isdisjoint(fitting)

    def near_until(self, until: datetime) -> frozenset[str]:
        """Return the keys of what it may pair with among everything up to a moment."""
        steps = (-PAIRED_WITHIN, timedelta(0), PAIRED_WITHIN)
        early = [at for at in self.moments if at <= until + PAIRED_WITHIN]
        return frozenset(self._key(at + step) for at in early for step in steps)

    def _key(self, at: datetime) -> str:
        # A key names a minute, so what pairs within a minute is in it or in the one beside it.
        return f"{realm_in(self.ref)}:money {self.alike} {at:%Y-%m-%dT%H:%M}"


def open_money(realm: ProjectedRealm) -> list[OpenMoney]:
    """Return every invoice without a link and every payment that no known invoice claims."""
    matched, name = realm.matched, realm.objects.realm
    invoices = [
        OpenMoney(
            ref=object_key(name, match.ref),
            is_invoice=True,
            alike=_alike(match.customer_id, money),
            moments=(money.at,),
            objects=_keys(name, (match.ref, match.session.id if match.session else match.ref)),
        )
        for match in matched.matches.values()
        if match.may_be_inferred and (money := match.paid) and _is_unlinked(match)
    ]
    payments = [
        OpenMoney(
            ref=object_key(name, ref),
            is_invoice=False,
            alike=_alike(matched.payments[ref].customer_id, money),
            moments=money_moments(matched.payments[ref]),
            objects=_keys(name, _ids_of(matched.payments[ref])),
        )
        for ref, money in matched.collected.items()
        if _is_free(ref, matched)
    ]
    return invoices + payments


def _keys(realm: Realm, ids: Iterable[str]) -> frozenset[ObjectKey]:
    return frozenset(object_key(realm, each) for each in ids)


def _ids_of(payment: PaymentObjects) -> Iterator[str]:
    yield payment.ref
    yield from (attempt.id for attempt in payment.attempts)
    yield from (session.id for session in payment.sessions)


def _alike(customer_id: CustomerId | None, money: ReceivedMoney) -> str:
    return f"{customer_id} {money[:2]}"  # how much, and of which currency


def _is_unlinked(match: InvoiceMatch) -> bool:
    return match.inferred or not match.payments


def _is_free(ref: str, matched: MatchedPayments) -> bool:
    return not any(match.invoice or match.session for match in matched.linked(ref))
