"""Keep what Stripe's lists showed to a run, in PostgreSQL until it ends, so that it can go on.

The other direction needs it: subscriptions and payments of ours that no list showed are asked for
by id, and what both sides have is what they can agree on.
"""

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Final

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.orm import aliased

from billing.facts import Kind
from billing.families import FAMILIES
from billing.fetching.observations import Name
from billing.ids import Realm
from billing.statuses import SUBSCRIPTION_ENDED, SUCCEEDED
from models.tables import (
    PaymentEvent,
    StoredCustomer,
    StoredPayment,
    StoredSubscription,
    StripeRun,
    StripeRunPage,
)
from ops.errors import CommandFailed
from ops.reconcile.agreement import AgreedSum
from ops.reconcile.compare import ShownObject
from ops.reconcile.totals import (
    MoneyStatus,
    TotalKey,
    Totals,
    totals_from_json,
    totals_of,
    totals_to_json,
    without_releases,
)
from runtime.database.one_of import one_of
from runtime.ledger.decisions import MovementKind

_KEPT: Final = frozenset(
    FAMILIES[kind].stripe_name
    for kind in (
        Kind.SUBSCRIPTION,
        Kind.PAYMENT_INTENT,
        Kind.CHARGE,
        Kind.INVOICE,
        Kind.CHECKOUT_SESSION,
    )
)
"""The families whose ids name a row of ours."""

_FAMILY_OF_PREFIX: Final = {
    "sub_": Kind.SUBSCRIPTION,
    "pi_": Kind.PAYMENT_INTENT,
    "ch_": Kind.CHARGE,
    "py_": Kind.CHARGE,
    "in_": Kind.INVOICE,
    "cs_": Kind.CHECKOUT_SESSION,
}
_BACK: Final = (MovementKind.REFUNDED, MovementKind.REFUND_REVERSED)


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectScope:
    """The objects that a run compares: of an account and mode, and of customers if it names some.

    ``since`` bounds what was bought and paid; customers and subscriptions are compared all.
    """

    realm: Realm
    since: datetime | None = None
    customers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class AgreedRows:
    """The rows of ours that Stripe showed and that do not differ."""

    subscriptions: int
    payments: int
    sums: tuple[AgreedSum, ...]


class NoCustomer(CommandFailed):
    """A user has no customer in an account."""

    def __init__(self, user_id: str, realm: Realm) -> None:
        self.user_id = user_id
        self.realm = realm
        super().__init__(
            f"user {user_id} has no customer in {realm}: name the customer with --customer, or"
            f" `paidup explain {user_id}`"
        )


class UnknownCustomer(CommandFailed):
    """Neither Stripe nor Paidup knows a customer in an account."""

    def __init__(self, customer: str, realm: Realm) -> None:
        self.customer = customer
        self.realm = realm
        super().__init__(
            f"neither Stripe nor Paidup knows a customer {customer} in {realm}: see that the id is"
            " whole, and that the mode and --account are those of the customer"
        )


def is_known(connection: Connection, realm: Realm, customer: str) -> bool:
    """Return True if anything here is of this customer."""
    tables = (StoredCustomer, StoredSubscription, StoredPayment)
    named = (
        sa.exists().where(table.realm == realm, table.stripe_customer_id == customer)
        for table in tables
    )
    return bool(connection.scalar(sa.select(sa.or_(*named))))


def customers_of(connection: Connection, realm: Realm, user_id: str) -> tuple[str, ...]:
    """Return the customers of a user."""
    tables = (StoredCustomer, StoredSubscription, StoredPayment)
    found = sa.union(
        *(
            sa.select(table.stripe_customer_id.label("name")).where(
                table.realm == realm, table.user_id == user_id
            )
            for table in tables
        )
    ).subquery()
    named = sa.select(found.c.name).where(found.c.name.is_not(None)).order_by(found.c.name)
    return tuple(connection.scalars(named))


def keep_page(connection: Connection, run: int, shown: Sequence[ShownObject]) -> None:
    """Keep the ids and the money on a page."""
    names = [each.name[1] for each in shown if each.name[0] in _KEPT]
    totals = totals_to_json(totals_of(each.facts for each in shown))
    connection.execute(sa.insert(StripeRunPage).values(run=run, names=names, totals=totals))


def forget_pages(connection: Connection, run: int) -> None:
    """Delete what the pages showed to a run that is over, and to all that ended before."""
    under_way = sa.select(StripeRun.id).where(StripeRun.state == "running", StripeRun.id != run)
    connection.execute(sa.delete(StripeRunPage).where(StripeRunPage.run.not_in(under_way)))


def not_shown(connection: Connection, run: int, scope: ObjectScope, most: int) -> list[Name]:
    """Return the subscriptions and payments of ours that no list showed, at most so many.

    A subscription that has ended here is left out: nothing follows from it any more. So is a
    payment by an object that Stripe's API does not retrieve.
    """
    subscription, payment = StoredSubscription, StoredPayment
    subscriptions = sa.select(subscription.stripe_subscription_id.label("name")).where(
        subscription.realm == scope.realm,
        subscription.status.not_in(SUBSCRIPTION_ENDED),
        _of(subscription.stripe_customer_id, scope),
    )
    payments = sa.select(payment.payment_ref.label("name")).where(
        payment.realm == scope.realm,
        _since(payment.occurred_at, scope.since),
        _of(payment.stripe_customer_id, scope),
    )
    ours = sa.union(subscriptions, payments).subquery()
    shown = _shown(run)
    missing = (
        sa.select(ours.c.name)
        .outerjoin(shown, shown.c.name == ours.c.name)
        .where(shown.c.name.is_(None))
        .order_by(ours.c.name)
        .limit(most)
    )
    return [name for each in connection.scalars(missing) if (name := name_of(each))]


def name_of(stripe_id: str) -> Name | None:
    """Return the family and the id by which Stripe's API retrieves what a row is named by."""
    prefix = stripe_id[: stripe_id.find("_") + 1]
    kind = _FAMILY_OF_PREFIX.get(prefix)
    return (FAMILIES[kind].stripe_name, stripe_id) if kind else None


def agreed_rows(
    connection: Connection, run: int, realm: Realm, differing: Collection[str]
) -> AgreedRows:
    """Return the rows that both sides have alike, without those whose ids are ``differing``."""
    shown = _shown(run)
    subscriptions = (
        sa.select(sa.func.count())
        .select_from(StoredSubscription)
        .join(shown, shown.c.name == StoredSubscription.stripe_subscription_id)
        .where(
            StoredSubscription.realm == realm,
            ~one_of(StoredSubscription.stripe_subscription_id, differing),
        )
    )
    payments = (
        sa.select(
            StoredPayment.currency,
            sa.func.count().label("payments"),
            sa.cast(sa.func.sum(StoredPayment.amount_minor), sa.BigInteger).label("received"),
            sa.cast(sa.func.sum(StoredPayment.amount_refunded_minor), sa.BigInteger).label(
                "refunded"
            ),
        )
        .join(shown, shown.c.name == StoredPayment.payment_ref)
        .where(StoredPayment.realm == realm, ~one_of(StoredPayment.payment_ref, differing))
        .group_by(StoredPayment.currency)
        .order_by(StoredPayment.currency)
    )
    sums = tuple(AgreedSum(**row) for row in connection.execute(payments).mappings())
    return AgreedRows(
        subscriptions=connection.scalar(subscriptions) or 0,
        payments=sum(each.payments for each in sums),
        sums=tuple(each for each in sums if each.received or each.refunded),
    )


def their_totals(connection: Connection, run: int) -> Totals:
    """Return the money that the lists showed to a run, by line."""
    sums: Counter[TotalKey] = Counter()
    pages = sa.select(StripeRunPage.totals).where(StripeRunPage.run == run)
    for page in connection.scalars(pages.execution_options(yield_per=1000)):
        sums.update(totals_from_json(page))
    return without_releases(sums)


def our_totals(connection: Connection, realm: Realm, since: datetime | None) -> Totals:
    """Return the money of our payments and what went back of it for good, by line."""
    came_on = _day(StoredPayment.occurred_at)
    came = (
        sa.select(StoredPayment.currency, came_on, sa.func.sum(StoredPayment.amount_minor))
        .where(
            StoredPayment.realm == realm,
            StoredPayment.status == SUCCEEDED,
            _since(StoredPayment.occurred_at, since),
        )
        .group_by(StoredPayment.currency, came_on)
    )
    back = _gone_back(realm)
    went_on = _day(back.c.at)
    went = (
        sa.select(back.c.currency, went_on, -sa.func.sum(back.c.amount_minor))
        .where(_since(back.c.at, since))
        .group_by(back.c.currency, went_on)
    )
    return {
        TotalKey(currency=currency, day=day, status=status): int(amount)
        for status, query in ((MoneyStatus.RECEIVED, came), (MoneyStatus.REFUNDED, went))
        for currency, day, amount in connection.execute(query)
        if amount
    }


def _gone_back(realm: Realm) -> sa.Subquery:
    """Return what went back, and on the day of its refund what came again because that failed.

    Stripe counts a refund that failed on no day.
    """
    refund = aliased(PaymentEvent)
    made_at = (
        sa.select(sa.func.max(refund.occurred_at))
        .where(
            refund.realm == PaymentEvent.realm,
            refund.payment_ref == PaymentEvent.payment_ref,
            refund.kind == MovementKind.REFUNDED,
            refund.amount_minor == -PaymentEvent.amount_minor,
            refund.occurred_at <= PaymentEvent.occurred_at,
        )
        .scalar_subquery()
    )
    return (
        sa.select(
            PaymentEvent.currency,
            PaymentEvent.amount_minor,
            sa.func.coalesce(made_at, PaymentEvent.occurred_at).label("at"),
        )
        .where(PaymentEvent.realm == realm, PaymentEvent.kind.in_(_BACK))
        .subquery("back")
    )


def _shown(run: int) -> sa.Subquery:
    name = sa.func.unnest(StripeRunPage.names).label("name")
    return sa.select(name).where(StripeRunPage.run == run).distinct().subquery("shown")


def _of(column: sa.SQLColumnExpression[str | None], scope: ObjectScope) -> sa.ColumnElement[bool]:
    return column.in_(scope.customers) if scope.customers else sa.true()


def _since(
    column: sa.SQLColumnExpression[datetime], since: datetime | None
) -> sa.ColumnElement[bool]:
    return sa.true() if since is None else column >= since


def _day(column: sa.SQLColumnExpression[datetime]) -> sa.ColumnElement[date]:
    return sa.cast(sa.func.timezone("UTC", column), sa.Date)
