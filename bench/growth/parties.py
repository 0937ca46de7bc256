"""Parties with a past of any length, and one further occurrence of what it consists of.

A party is a Stripe account of one customer, whose endpoint hears of what the tables are made from.
Payments are eight hours apart, periods a day and observations three quarters of an hour, so that
ten thousand payments are nine years and all observations of a subscription lie in its first one.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Final, NamedTuple

from ops.samples.api_shapes import Shape
from ops.samples.lifecycles.registry import new_account
from ops.samples.sample_plans import LIFETIME, MONTHLY
from ops.samples.scenario import DAY
from ops.samples.worlds.account import StripeAccount
from ops.samples.worlds.offers import StripePrice
from ops.samples.worlds.records import Customer, Subscription
from ops.samples.worlds.steps import people, subscribing
from ops.samples.worlds.steps.buying import check_out

Bodies = list[bytes]
Step = Callable[[StripeAccount, str], None]
"""Plays something for the account's one customer, who is this user."""

HEARD: Final = (
    "charge.succeeded",
    "checkout.session.completed",
    "customer.created",
    "customer.subscription.created",
    "customer.subscription.updated",
    "invoice.paid",
    "invoice_payment.paid",
    "payment_intent.succeeded",
)
_APART: Final = 8 * 3600
_OBSERVED_APART: Final = 45 * 60
_DAILY: Final = replace(MONTHLY, interval="day")
_YEARLY: Final = StripePrice(
    price="price_premium_yearly", product="prod_premium", amount=29_900, interval="year"
)


class PartyKind(NamedTuple):
    """The steps of a kind: its beginning, what its past repeats, and what happens next.

    Two repetitions are so many seconds apart; ``past`` names them.
    """

    name: str
    past: str
    begin: Step
    repeat: Step
    further: Step
    seconds: int


@dataclass(slots=True, kw_only=True)
class GrownParty:
    """A party after its past, of which it gives the events once."""

    kind: PartyKind
    account: StripeAccount
    user: str
    _coming: Bodies = field(default_factory=list)

    def coming(self) -> Bodies:
        """Return the events of the next thing that happens; the next call returns the same."""
        if not self._coming:
            self.kind.further(self.account, self.user)
            self._coming = self.heard()
        return self._coming

    def further(self) -> Bodies:
        """Return the events of the next thing that happens, which then has happened."""
        happened, self._coming = self.coming(), []
        return happened

    def changes(self, count: int, *, heard_of: int = 1) -> Bodies:
        """Change the party's subscription so often that so many events are heard, in one second.

        ``heard_of`` is 1 if each is heard. If one of two is, none says that it follows another.
        """
        for _ in range(count * heard_of):
            _change(self.account, self.user)
        return self.heard()[::heard_of]

    def heard(self) -> Bodies:
        """Return the events since the last call."""
        bodies = [event.body for event in self.account.events]
        self.account.events.clear()
        return bodies


def grown(kind: PartyKind, size: int, seed: str, *, ahead: int) -> GrownParty:
    """Return a party with a past of this size, which ends so many steps before now."""
    account = new_account(Shape.NEW, at=int(time.time()) - (size + ahead) * kind.seconds - 2 * DAY)
    account.random.seed(f"{kind.name}/{size}/{seed}")
    account.listens = lambda event_type, _at: event_type in HEARD
    party = GrownParty(kind=kind, account=account, user=account.id("usr", 10))
    kind.begin(account, party.user)
    for _ in range(size):
        kind.repeat(account, party.user)
    return party


def _arrive(account: StripeAccount, user: str) -> None:
    people.arrive(account, metadata={"user_id": user})


def _pay(account: StripeAccount, user: str) -> None:
    account.wait(_APART)
    names = subscribing.Names(
        reference=user, metadata={"user_id": user, "price_id": LIFETIME.price}
    )
    check_out(account, _customer(account), LIFETIME.amount, names, copied={"user_id": user})


def _subscribe(account: StripeAccount, user: str) -> None:
    _subscribe_to(_DAILY, account, user)


def _subscribe_for_years(account: StripeAccount, user: str) -> None:
    """Subscribe, and change the subscription a day later: an older change lies between the two."""
    _subscribe_to(_YEARLY, account, user)
    account.wait(DAY)
    _change(account, user)


def _subscribe_to(offer: StripePrice, account: StripeAccount, user: str) -> None:
    _arrive(account, user)
    stated = {"user_id": user}
    subscribing.subscribe(account, _customer(account), [(offer, 1)], metadata=stated)


def _renew(account: StripeAccount, _user: str) -> None:
    subscribing.renew(account, _subscription(account))


def _update(account: StripeAccount, user: str) -> None:
    account.wait(_OBSERVED_APART)
    _change(account, user)


def _change(account: StripeAccount, _user: str) -> None:
    """Change the metadata of the subscription, and every tenth time the number of its seats."""
    held = _subscription(account)
    number = int(held.metadata.get("change", "0")) + 1
    item = replace(held.items[0], quantity=1 + number // 10 % 5)
    account.change(
        subscribing.UPDATED,
        held,
        items=(item,),
        metadata={**held.metadata, "change": str(number)},
    )


def _update_late(account: StripeAccount, _user: str) -> None:
    """Tell of a change between the beginning and now; the next one lies between others."""
    held, now = _subscription(account), account.wait(60)
    account.at = (held.created + now) // 2
    changed = {**held.metadata, "told": "late"}
    account.emit(subscribing.UPDATED, replace(held, metadata=changed), before=held)
    account.keep(held)
    account.at = now


def _customer(account: StripeAccount) -> Customer:
    return next(account.of(Customer))


def _subscription(account: StripeAccount) -> Subscription:
    return account.get(Subscription, next(account.of(Subscription)).id)


PAYMENTS: Final = PartyKind("payment of a customer", "payments", _arrive, _pay, _pay, _APART)
RENEWALS: Final = PartyKind("renewal of a subscription", "periods", _subscribe, _renew, _renew, DAY)
UPDATES: Final = PartyKind(
    "update of a subscription",
    "observations",
    _subscribe_for_years,
    _update,
    _update,
    _OBSERVED_APART,
)
OLDER: Final = PartyKind(
    "older update of a subscription",
    "observations",
    _subscribe_for_years,
    _update,
    _update_late,
    _OBSERVED_APART,
)
KINDS: Final = (PAYMENTS, RENEWALS, UPDATES, OLDER)
