"""The payments that may be archived at all, before it is tried what archiving one changes.

These are the rules of the future: what a later event may ask of a payment without naming it.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Final, NamedTuple

from billing.archiving.components import Component
from billing.catalogue import Identity
from billing.facts import CheckoutSessionFields, Fact
from billing.ids import CustomerId, ObjectKey, Realm, UserId, object_key, realm_in, stripe_id_of
from billing.objects.invoices import InvoiceState
from billing.objects.lines import bills_an_item
from billing.objects.user_statements import NamedUsers, UserStatements
from billing.projection.ownership import DescribedObject
from billing.projection.party import ProjectedRealm
from billing.projection.purchase_ends import Ends, own_ends
from billing.projection.purchases import OneTimePurchase
from billing.rows import EntitlementRow, PurchaseRow

KEPT_PAYMENTS: Final = 2
"""The newest payments stay loaded: most events are about them."""


def old_payments(
    components: Sequence[Component], realms: Mapping[Realm, ProjectedRealm], now: datetime
) -> list[Component]:
    """Return the payments that may be archived, the oldest first, as they are given."""
    witnesses = frozenset(key for realm in realms.values() for key in _witnesses(realm))
    asked = {name: _Asked.of(realm, now) for name, realm in realms.items()}
    return [
        each
        for each in components[:-KEPT_PAYMENTS]
        if witnesses.isdisjoint(each.keys)
        if _may_go(each, asked[realm_in(each.name)])
    ]


class _Asked(NamedTuple):
    """Everything of a realm that may be asked for later, by Stripe id.

    ``lasting`` are the purchases and grants that time alone will change, and passes that begin
    where others end. ``unbilled`` are subscriptions whose paid checkout stands for its bill.
    """

    realm: ProjectedRealm
    lasting: frozenset[str]
    unbilled: frozenset[str]

    @classmethod
    def of(cls, realm: ProjectedRealm, now: datetime) -> "_Asked":
        rows = realm.projection
        lasting = {each.source for each in rows.entitlements.values() if _expires(each)}
        lasting |= {each.purchase_ref for each in rows.purchases.values() if _lasts(each, now)}
        lasting |= {each.ref for each in realm.bought if not _stands_alone(each, realm)}
        alone = [each for each in realm.matched.matches.values() if each.invoice_id is None]
        unbilled = {each.subscription for each in alone if each.subscription}
        return cls(realm, frozenset(lasting), frozenset(unbilled))


def _witnesses(realm: ProjectedRealm) -> Iterator[ObjectKey]:
    """Yield an object for each thing that no loaded one would say without it.

    These are who first named each user under a customer, and the newest invoice of each price that
    a subscription is billed for.
    """
    billed: dict[tuple[str, object], str] = {}
    by_time = sorted(realm.objects.invoices.values(), key=lambda each: each.latest_moment)
    for invoice in by_time:
        for line in invoice.lines.lines:
            subscription = line.subscription or invoice.subscription
            if subscription and bills_an_item(line):
                billed[subscription, line.names] = invoice.id
        if invoice.subscription:
            billed[invoice.subscription, None] = invoice.id
    named: dict[tuple[CustomerId | None, UserId], tuple[datetime, str]] = {}
    for name, state in _describing(realm):
        for user_id, since in _named_by(state.user_statements, realm.lookup.catalogue.identity):
            first = named.get((state.customer_id, user_id), (since, name))
            named[state.customer_id, user_id] = min(first, (since, name))
    yield from (object_key(realm.objects.realm, name) for name in billed.values())
    yield from (object_key(realm.objects.realm, name) for _, name in named.values())


def _describing(realm: ProjectedRealm) -> Iterator[tuple[str, DescribedObject]]:
    objects = realm.objects
    yield from objects.sessions.items()
    yield from objects.intents.items()
    yield from objects.charges.items()
    yield from objects.invoices.items()


def _named_by(statements: UserStatements, identity: Identity) -> NamedUsers:
    return (*statements.by_metadata(identity), *statements.by_client_reference())


def _may_go(component: Component, asked: _Asked) -> bool:
    if len(component.invoices) > 1 or any(map(_began_subscription, component.facts)):
        return False
    matched, invoices = asked.realm.matched, asked.realm.objects.invoices
    for name in map(stripe_id_of, component.keys):
        match, invoice = matched.matches.get(name), invoices.get(name)
        if name in asked.lasting or (match and match.invoice_id is None):
            return False
        if invoice and not _is_done(invoice, asked):
            return False
    return True


def _began_subscription(fact: Fact) -> bool:
    return isinstance(fact.fields, CheckoutSessionFields) and fact.fields.subscription is not None


def _is_done(invoice: InvoiceState, asked: _Asked) -> bool:
    """Return True if an invoice decides nothing of its subscription any more."""
    if invoice.subscription is None:
        return True
    snapshot = asked.realm.objects.subscriptions.get(invoice.subscription)
    if snapshot is None or invoice.unpaid_since or invoice.subscription in asked.unbilled:
        return False
    is_latest = snapshot.newest.fields.latest_invoice == invoice.id
    good_at = snapshot.last_not_past_due_at
    failed = any(good_at is None or at > good_at for at in invoice.failures)
    return not failed and (snapshot.ended or not is_latest)


def _expires(row: EntitlementRow) -> bool:
    return row.active and row.expires_at is not None


def _lasts(row: PurchaseRow, now: datetime) -> bool:
    return row.ends_at is not None and row.ends_at > now


def _stands_alone(purchase: OneTimePurchase, realm: ProjectedRealm) -> bool:
    """Return True if no pass of a purchase begins where another one ends."""
    if not any(line.sold.plan and line.sold.plan.lasts_days for line in purchase.lines):
        return True
    alone = own_ends([(purchase, None, Ends(None, {}))])
    rows = realm.projection.purchases
    return all(
        rows[realm.objects.realm, purchase.ref, line.line].ends_at
        == alone.get((purchase.ref, line.line))
        for line in purchase.lines
    )
