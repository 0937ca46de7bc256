"""What the facts of one customer, subscription, checkout or feature list amount to.

Each is a pure function of the object's history, so a party keeps it until a fact is added.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from billing.facts import (
    CheckoutSessionFields,
    CustomerFields,
    EntitlementSummaryFields,
    Item,
    SubscriptionFields,
)
from billing.ids import CustomerId, ObjectKey, UserId, stripe_id_of
from billing.objects.observations import (
    Granting,
    Received,
    Said,
    Seen,
    customer_of,
    granting,
    latest,
    said,
    seen,
    state_of,
)
from billing.objects.ordering import History
from billing.projection.plan_lookup import Offer, most_trusted, offer_of_session
from billing.rows import PurchaseStatus
from billing.statuses import (
    NO_CURRENCY,
    PAST_DUE,
    SESSION_COMPLETE,
    SESSION_EXPIRED_EVENT,
    SESSION_FAILED_EVENT,
    SESSION_GRANTS,
    SESSION_PAID,
    SUBSCRIPTION_ENDED,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Customer:
    """A customer's own statements; ``moved`` is the last time it changed from user to user."""

    said: Said
    moved: datetime | None


def read_customer(_: ObjectKey, history: History) -> Customer:
    """Removing the user from a customer's metadata takes nothing back: the last one named stays."""
    facts = seen(history, CustomerFields)
    stated = said((fact.at, fact.fields.user_id) for fact in facts)
    return Customer(said=stated, moved=_last_move(facts))


def _last_move(facts: Sequence[Seen[CustomerFields]]) -> datetime | None:
    """A change is seen between two facts, or within one that says what was before it."""
    moved, known = None, None
    for fact in facts:
        named = fact.fields.user_id
        undone = fact.before.user_id if fact.before else None
        if named is not None and {known, undone} - {None, named}:
            moved = fact.at
        known = named or known
    return moved


@dataclass(frozen=True, slots=True, kw_only=True)
class Subscription:
    """A subscription's state, what it ever ran on, and since when it has been past due."""

    customer_id: CustomerId | None
    said: Said
    state: Seen[SubscriptionFields]
    ended: bool
    prices: tuple[str, ...]
    """What its state runs on, for rows that people read."""
    period_end: datetime | None
    ran_on: tuple[tuple[datetime, tuple[Item, ...]], ...]
    """Each different set of items, dated where it was first seen, in the order of the last."""
    past_due_since: datetime | None
    in_order_until: datetime | None
    """The last snapshot in a status other than past due."""
    guessed: bool


def read_subscription(_: ObjectKey, history: History) -> Subscription:
    """The state of a subscription is its newest snapshot, or the one it ended with."""
    facts = seen(history, SubscriptionFields)
    state = state_of(history, facts)
    orderly = [fact.at for fact in facts if fact.fields.status != PAST_DUE]
    return Subscription(
        customer_id=customer_of(history),
        said=said((fact.at, fact.fields.user_id) for fact in facts),
        state=state,
        ended=state.fields.status in SUBSCRIPTION_ENDED,
        prices=tuple(item.price for item in state.fields.items if item.price),
        period_end=latest_period(state.fields.items),
        ran_on=_ran_on(facts),
        past_due_since=_past_due_since(facts),
        in_order_until=max(orderly, default=None),
        guessed=history.guessed,
    )


def latest_period(items: Iterable[Item]) -> datetime | None:
    """When the last of the periods that the items are paid for ends."""
    return max((item.period_end for item in items if item.period_end), default=None)


def _ran_on(
    facts: Sequence[Seen[SubscriptionFields]],
) -> tuple[tuple[datetime, tuple[Item, ...]], ...]:
    since: dict[tuple[Item, ...], datetime] = {}
    for fact in facts:
        timeless = tuple(_timeless(item) for item in fact.fields.items)
        since[timeless] = since.pop(timeless, fact.at)
    return tuple((at, items) for items, at in since.items())


def _timeless(item: Item) -> Item:
    return Item(
        price=item.price,
        lookup_key=item.lookup_key,
        product=item.product,
        quantity=item.quantity,
        period_end=None,
    )


def _past_due_since(facts: Sequence[Seen[SubscriptionFields]]) -> datetime | None:
    since = None
    for fact in reversed(facts):
        if fact.fields.status != PAST_DUE:
            break
        since = fact.at
    return since


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """A checkout: what it bought, whether that is paid, and how it names the plan."""

    id: str
    customer_id: CustomerId | None
    said: Said
    mode: str
    status: PurchaseStatus
    payment_intent: str | None
    subscription: str | None
    invoice: str | None
    granted: Granting | None
    first_at: datetime
    money: Received | None
    """What was paid; None for a checkout that is free or paid later."""
    offer: Offer
    offers: tuple[Offer, ...]
    """Every way of naming that any fact has used."""


def read_session(key: ObjectKey, history: History) -> Session:
    """Paid once is paid: no older or sibling fact of the session takes that back."""
    facts = seen(history, CheckoutSessionFields)
    state = state_of(history, facts).fields
    grants = [fact for fact in facts if _grants(fact)]
    paid = [fact for fact in grants if fact.fields.payment_status == SESSION_PAID]
    return Session(
        id=stripe_id_of(key),
        customer_id=customer_of(history),
        said=said((fact.at, fact.fields.user_id) for fact in facts),
        mode=state.mode,
        status=_status(facts, grants),
        payment_intent=latest(fact.fields.payment_intent for fact in facts),
        subscription=latest(fact.fields.subscription for fact in facts),
        invoice=latest(fact.fields.invoice for fact in facts),
        granted=granting(grants),
        first_at=facts[0].at,
        money=_money(paid) if paid else None,
        offer=most_trusted(offer_of_session(fact.fields) for fact in facts),
        offers=tuple(dict.fromkeys(offer_of_session(fact.fields) for fact in facts)),
    )


def _money(paid: Sequence[Seen[CheckoutSessionFields]]) -> Received:
    priced = paid[-1].fields
    return Received(priced.amount_total, priced.currency or NO_CURRENCY, paid[0].at)


def _grants(fact: Seen[CheckoutSessionFields]) -> bool:
    return (
        fact.fields.payment_status in SESSION_GRANTS
        and fact.fields.status in SESSION_COMPLETE
        and fact.event_type not in (SESSION_EXPIRED_EVENT, SESSION_FAILED_EVENT)
    )


def _status(
    facts: Sequence[Seen[CheckoutSessionFields]], grants: Sequence[Seen[CheckoutSessionFields]]
) -> PurchaseStatus:
    if grants:
        return PurchaseStatus.PAID
    if any(fact.event_type == SESSION_FAILED_EVENT for fact in facts):
        return PurchaseStatus.FAILED
    if any(fact.event_type == SESSION_EXPIRED_EVENT for fact in facts):
        return PurchaseStatus.EXPIRED
    return PurchaseStatus.PENDING


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """The features that Stripe says a customer has; ``complete`` until a list was cut."""

    customer_id: CustomerId
    lookup_keys: tuple[str, ...]
    last_known: tuple[str, ...]
    """The features of the newest list that had any, for a row that is no longer in force."""
    since: datetime
    state: Seen[EntitlementSummaryFields]
    complete: bool
    guessed: bool


def read_summary(key: ObjectKey, history: History) -> Summary:
    """A cut list grants what it lists and ends nothing that the lists before it granted."""
    facts = seen(history, EntitlementSummaryFields)
    keys: tuple[str, ...] = ()
    last_known: tuple[str, ...] = ()
    for fact in facts:
        kept = () if fact.fields.complete else keys
        keys = tuple(dict.fromkeys((*kept, *fact.fields.lookup_keys)))
        last_known = keys or last_known
    return Summary(
        customer_id=CustomerId(stripe_id_of(key).removeprefix("entitlements/")),
        lookup_keys=keys,
        last_known=last_known,
        since=facts[0].at,
        state=facts[-1],
        complete=facts[-1].fields.complete,
        guessed=history.guessed,
    )


def users_ever(*statements: Said) -> frozenset[UserId]:
    """Everybody whom any of the statements has ever named."""
    return frozenset[UserId]().union(*(stated.ever for stated in statements))
