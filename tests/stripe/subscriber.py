"""The course of one customer of a company: bills month by month, and whatever happens beside them.

Steps are those of the worlds. Each customer has an account of its own, whose clock is its own, and
in which no body of an event is written before someone asks for it.
"""

from dataclasses import dataclass, replace
from random import Random
from typing import Any, Final

from ops.samples.scenario import DAY
from ops.samples.worlds import offers
from ops.samples.worlds.account import Heard, StripeAccount
from ops.samples.worlds.offers import StripePrice
from ops.samples.worlds.records import (
    Charge,
    Customer,
    Invoice,
    Metadata,
    Record,
    Session,
    Subscription,
    SubscriptionItem,
)
from ops.samples.worlds.stage import happens
from ops.samples.worlds.steps import billing, buying, people, subscribing
from ops.samples.worlds.steps.subscribing import Names

MONTH: Final = 30 * DAY
SPARE: Final = 14 * DAY
"""The longest time that anything beside the bills of a month takes."""

GOODS: Final[tuple[tuple[StripePrice, int], ...]] = (
    (offers.PRO, 40),
    (offers.BASIC, 30),
    (offers.PRO_BY_KEY, 8),
    (offers.BASIC_BY_PRODUCT, 6),
    (offers.TEAM, 8),
    (offers.ADDON, 3),
    (offers.FREE, 2),
    (offers.UNKNOWN, 3),
)
OVERDUE: Final = subscribing.SENT_DUE_AFTER + DAY
"""The time until a bill that is sent is overdue."""

FEATURES: Final = ("sso", "audit_log", "priority_support")


class SubscriberAccount(StripeAccount):
    """A simulated account that remembers what its events are about, and writes none of them."""

    def __init__(self, *, seed: str, **given: Any) -> None:
        super().__init__(**given, bare_charges=0.05)
        self.random = Random(seed)  # noqa: S311 - a company must repeat, not be secret
        self.event_ids: list[str] = []
        """The id of each event in ``heard``."""
        self.sold: dict[str, StripePrice] = {}
        """What each checkout sold."""

    def _send(self, event_type: str, record: Record, before: Record | None) -> None:
        self.event_ids.append(self.id("evt"))
        self.heard.append(Heard(at=self.at, type=event_type, record=record, before=before))


@dataclass(frozen=True, kw_only=True)
class Subscriber:
    """A customer: its account, its user, and how Stripe's objects name that user.

    ``named`` is ``customer``, ``objects``, ``references`` or ``nowhere``.
    """

    account: SubscriberAccount
    user: str
    named: str
    until: int

    def metadata(self) -> Metadata:
        """Return what the objects of this customer state about their user."""
        return {"user_id": self.user} if self.named == "objects" else {}

    def names(self, goods: StripePrice | None = None) -> Names:
        """Return what a checkout states about user and goods."""
        metadata = {**self.metadata(), **({"price_id": goods.price} if goods else {})}
        reference = self.user if self.named == "references" else None
        return Names(reference=reference, metadata=metadata)

    def has_time_for(self, seconds: int) -> bool:
        """Return whether this much can still happen before the end."""
        return self.account.at + seconds < self.until


def draw_name_style(random: Random) -> str:
    """Return how the objects of a customer name its user."""
    styles = ("customer", "objects", "references", "nowhere")
    return random.choices(styles, weights=(55, 25, 15, 5))[0]


def play_course(subscriber: Subscriber, random: Random) -> None:
    """Play everything from the customer's arrival to the end."""
    account = subscriber.account
    metadata = {"user_id": subscriber.user} if subscriber.named == "customer" else {}
    customer = people.arrive(account, metadata=metadata)
    featured = happens(random, 0.05)
    if featured:
        people.list_features(account, customer, random.sample(FEATURES, random.choice((1, 2))))
    held = _subscribe(subscriber, customer, random)
    while held.status == "active" and _next_bill(held) + DAY // 2 < subscriber.until:
        held = _live_through_period(subscriber, customer, held, random)
    if featured and held.status == "canceled":
        # Stripe gives features to customers with a subscription that has not ended.
        people.list_features(account, customer, [])


def _next_bill(held: Subscription) -> int:
    return min(item.end for item in held.items)


def _subscribe(subscriber: Subscriber, customer: Customer, random: Random) -> Subscription:
    account = subscriber.account
    offer = random.choices([each for each, _ in GOODS], weights=[each for _, each in GOODS])[0]
    quantity = random.randrange(2, 9) if offer is offers.TEAM else 1
    by_checkout = subscriber.named == "references" or happens(random, 0.5)
    held = subscribing.subscribe(
        account,
        customer,
        [(offer, quantity)],
        metadata=subscriber.metadata(),
        checkout=subscriber.names() if by_checkout else None,
        trial=14 * DAY if happens(random, 0.1) else 0,
    )
    for session in account.of(Session):
        account.sold[session.id] = offer
    return subscribing.newest(account, held)


def _live_through_period(
    subscriber: Subscriber, customer: Customer, held: Subscription, random: Random
) -> Subscription:
    """Let the time pass to the next bill, and that bill be paid, or not."""
    account = subscriber.account
    if _next_bill(held) - account.at > SPARE and subscriber.has_time_for(SPARE):
        _happen_beside(subscriber, customer, held, random)
    held = subscribing.newest(account, held)
    if held.status != "active":
        return held
    if held.cancel_at_period_end:
        account.at = _next_bill(held)
        return subscribing.cancel(account, held, wait=0)
    if not happens(random, 0.04):
        return subscribing.renew(account, held)
    sent = _next_bill(held) + OVERDUE < subscriber.until and happens(random, 0.25)
    held = subscribing.renew(account, held, outcome="overdue" if sent else "failed")
    if held.status == "past_due" and subscriber.has_time_for(4 * DAY):
        account.wait(3 * DAY)
        if happens(random, 0.9):
            subscribing.recover(account, held)
        else:
            subscribing.cancel(account, held)
    return subscribing.newest(account, held)


def _happen_beside(
    subscriber: Subscriber, customer: Customer, held: Subscription, random: Random
) -> None:
    account, chance = subscriber.account, random.random()
    paid = [
        each
        for each in account.of(Charge)
        if each.status == "succeeded" and not each.refunds and each.dispute is None
    ]
    if chance < 0.01:
        subscribing.change_items(account, held, [_other_item(held, random)], billed=True)
    elif chance < 0.013:
        subscribing.cancel_at_period_end(account, held)
    elif chance < 0.016:
        subscribing.cancel(account, held, wait=3 * DAY)
    elif chance < 0.035 and paid:
        charge = random.choice(paid)
        buying.refund(account, charge, random.choice((charge.amount, charge.amount // 2)))
    elif chance < 0.04 and paid:
        opened = buying.dispute(account, random.choice(paid), status="needs_response")
        buying.end_dispute(account, opened, random.choice(("won", "lost")))
    elif chance < 0.05 and paid and (bill := paid[-1].invoice) is not None:
        buying.credit(account, account.get(Invoice, bill), amount=100, back_to="card")
    elif chance < 0.07:
        _buy_once(subscriber, customer, random)


def _other_item(held: Subscription, random: Random) -> SubscriptionItem:
    (item, *_) = held.items
    sold = [each for each in (offers.PRO, offers.BASIC) if each is not item.offer]
    return replace(item, offer=random.choice(sold), quantity=1)


def _buy_once(subscriber: Subscriber, customer: Customer, random: Random) -> None:
    account, offer = subscriber.account, random.choice((offers.LIFETIME, offers.DAY_PASS))
    names = subscriber.names(offer)
    buyer: Customer | None = customer
    if happens(random, 0.2) and subscriber.named == "references":
        buyer = None
    lines = [billing.once_line(account, offer)] if buyer and happens(random, 0.3) else []
    session = buying.check_out(account, buyer, offer.amount, names, lines=lines)
    account.sold[session.id] = offer
