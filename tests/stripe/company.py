"""A company of some size at Stripe: its account now, the webhook events that led there, the truth.

It is deterministic by its seed. Records are kept, and printed when someone asks for them.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from heapq import merge
from random import Random
from typing import Any, Final, NamedTuple

from ops.samples.scenario import DAY, Event
from ops.samples.worlds import offers
from ops.samples.worlds.account import Heard, old_value
from ops.samples.worlds.records import FeatureList
from ops.samples.worlds.releases import ApiRelease
from ops.samples.worlds.rendering import render, render_event
from ops.samples.worlds.truth.end import End, end_of
from ops.samples.worlds.truth.shop import Shop
from tests.stripe.account import FakeStripeAccount
from tests.stripe.lists import EVENTS_LAST_DAYS
from tests.stripe.ordering import CreationOrder, Place
from tests.stripe.state import Json, family_of, moment
from tests.stripe.subscriber import (
    GOODS,
    MONTH,
    Subscriber,
    SubscriberAccount,
    draw_name_style,
    play_course,
)

PRICES: Final = (*(offer for offer, _ in GOODS), offers.LIFETIME, offers.DAY_PASS)


@dataclass(frozen=True, kw_only=True)
class CompanyPlan:
    """Everything that decides a company; ``now`` is the Unix time at which its past ends."""

    subscribers: int
    months: int
    now: int
    seed: str = "1"
    livemode: bool = False
    connected: str | None = None
    release: ApiRelease = ApiRelease.ENDIVE
    """The API version of its events."""


class CompanyEvent(NamedTuple):
    """One event of a company, which is printed when someone asks for it."""

    created: int
    id: str
    heard: Heard
    account: SubscriberAccount

    @property
    def type(self) -> str:
        return self.heard.type

    def payload(self) -> Json:
        """Return the event as an endpoint gets it."""
        heard, account = self.heard, self.account
        stated = _printed_in(account, render(heard.record, account.release.shape))
        data: Json = {"object": stated}
        if heard.before is not None:
            before = _printed_in(account, render(heard.before, account.release.shape))
            data["previous_attributes"] = old_value(before, stated)
        return render_event(
            heard.type,
            data,
            event_id=self.id,
            created=self.created,
            api_version=account.release,
            livemode=account.livemode,
            connected=account.connected,
        )

    def delivery(self) -> Event:
        """Return the event as the samples send them."""
        body = json.dumps(self.payload()).encode()
        return Event(id=self.id, type=self.type, created=self.created, body=body)


def _printed_in(account: SubscriberAccount, raw: Json) -> Json:
    return {**raw, "livemode": account.livemode} if "livemode" in raw else raw


class CompanyEvents:
    """The events that Stripe still lists, of which no body is kept."""

    def __init__(self) -> None:
        self._order = CreationOrder()
        self._events: dict[str, CompanyEvent] = {}
        self._types: set[str] = set()

    def put(self, event: CompanyEvent) -> None:
        self._order.put(event.created, event.id, len(self._events))
        self._events[event.id] = event
        self._types.add(event.type)

    def place_of(self, stripe_id: str) -> Place | None:
        return self._order.place_of(stripe_id)

    def before(self, place: Place | None) -> Iterator[Place]:
        return self._order.before(place)

    def after(self, place: Place) -> Iterator[Place]:
        return self._order.after(place)

    def newest(self, event_type: str | None = None) -> Iterator[CompanyEvent]:
        """Yield the events of a type, or all, the newest first."""
        events = (self._events[place.id] for place in self._order.before(None))
        return (each for each in events if event_type in (None, each.type))

    def types(self) -> frozenset[str]:
        return frozenset(self._types)

    def type_of(self, event_id: str) -> str:
        return self._events[event_id].type

    def subject_of(self, event_id: str) -> tuple[str, str]:
        record = self._events[event_id].heard.record
        return family_of(record), record.id

    def event(self, event_id: str) -> Json:
        return self._events[event_id].payload()


@dataclass(frozen=True, kw_only=True)
class CompanyTruth:
    """Access and money as the worlds' truth has them at the company's ``now``."""

    features: Mapping[str, Mapping[str, bool | int]]
    """The features in force, by user."""
    ends: tuple[End, ...]
    """The end of each customer: grants, money, statuses."""


@dataclass(frozen=True, kw_only=True)
class Company:
    """The customers of a company, and the Stripe account in which they are."""

    plan: CompanyPlan
    subscribers: list[Subscriber]
    stripe: FakeStripeAccount
    listed: CompanyEvents
    document: Mapping[str, Any] = field(default_factory=lambda: offers.PLANS)
    """The content of ``plans.toml``."""

    def events(self) -> Iterator[CompanyEvent]:
        """Yield every event that Stripe sent, in order."""
        return merge(*(events_of(each) for each in self.subscribers), key=lambda each: each[:2])

    @cached_property
    def truth(self) -> CompanyTruth:
        """The true end of the company, for an endpoint that heard every event."""
        shop = Shop(document=self.document)
        ends = tuple(end_of(each.account, shop, self.plan.now) for each in self.subscribers)
        features = {user: held for end in ends for user, held in end.features.items()}
        return CompanyTruth(features=features, ends=ends)

    def arrive(self, at: int) -> list[CompanyEvent]:
        """Have one more customer subscribe at a Unix time, and return the events about it."""
        return self.note(self.settle(at))

    def settle(self, at: int, *, named: str | None = None) -> Subscriber:
        """Return one more customer who subscribes at a Unix time; Stripe does not show it yet.

        ``named`` is how its objects name its user (``Subscriber``).
        """
        number = len(self.subscribers)
        arrived = _play(self.plan, number, begins=at, until=at + MONTH, named=named)
        self.subscribers.append(arrived)
        return arrived

    def note(
        self, subscriber: Subscriber, *, since: int = 0, listed: bool = True
    ) -> list[CompanyEvent]:
        """Have Stripe show what became of a customer, and return the events from a number on.

        ``listed`` has Stripe list these events, too.
        """
        _show(self.stripe, subscriber)
        events = list(events_of(subscriber))[since:]
        for event in events:
            if listed:
                self.listed.put(event)
        return events


def events_of(subscriber: Subscriber) -> Iterator[CompanyEvent]:
    """Yield every event about a customer, in order."""
    account = subscriber.account
    for event_id, heard in zip(account.event_ids, account.heard, strict=True):
        yield CompanyEvent(heard.at, event_id, heard, account)


def build_company(plan: CompanyPlan) -> Company:
    """Return the company of a plan."""
    account_id = plan.connected or f"acct_1Own{plan.seed}"
    stripe = FakeStripeAccount(id=account_id, prices=list(PRICES), livemode=plan.livemode)
    listed = CompanyEvents()
    stripe.event_sources.append(listed)
    company = Company(plan=plan, subscribers=[], stripe=stripe, listed=listed)
    since = plan.now - EVENTS_LAST_DAYS * DAY
    for number in range(plan.subscribers):
        # The last bill is at least half a day ago, and the next one as far ahead.
        spread = Random(f"{plan.seed}/{number}/at").randrange(DAY, MONTH - DAY)  # noqa: S311 - as worlds
        past = plan.months * MONTH - spread
        subscriber = _play(plan, number, begins=plan.now - past, until=plan.now)
        company.subscribers.append(subscriber)
        _show(stripe, subscriber)
        for event in events_of(subscriber):
            if event.created >= since:
                listed.put(event)
    return company


def _play(
    plan: CompanyPlan, number: int, *, begins: int, until: int, named: str | None = None
) -> Subscriber:
    random = Random(f"{plan.seed}/{number}")  # noqa: S311 - a company must repeat, not be secret
    account = SubscriberAccount(
        seed=f"{plan.seed}/{number}/ids",
        release=plan.release,
        at=begins,
        livemode=plan.livemode,
        connected=plan.connected,
    )
    subscriber = Subscriber(
        account=account,
        user=f"user_{number:06}",
        named=named or draw_name_style(random),
        until=until,
    )
    play_course(subscriber, random)
    return subscriber


def _show(stripe: FakeStripeAccount, subscriber: Subscriber) -> None:
    """Have Stripe show every object of a customer as it is now."""
    account = subscriber.account
    for record in account.records.values():
        if stripe.state_of(record.id) is not record:
            stripe.keep(record)
    for heard in account.heard:
        if isinstance(heard.record, FeatureList):
            stripe.keep(heard.record, moment(heard.at))
    for session_id, offer in account.sold.items():
        stripe.sell(session_id, offer)


def plans_text(document: Mapping[str, Any]) -> str:
    """Return a document of plans as the text of ``plans.toml``."""
    lines = []
    for code, plan in document["plans"].items():
        lines.append(f"[plans.{code}]")
        lines += [f"{name} = {_toml(value)}" for name, value in plan.items()]
        lines.append("")
    for table in ("policy", "catalogue", "identity"):
        if document.get(table):
            lines.append(f"[{table}]")
            lines += [f"{name} = {_toml(value)}" for name, value in document[table].items()]
            lines.append("")
    return "\n".join(lines)


def _toml(value: object) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{name} = {_toml(each)}" for name, each in value.items()) + "}"
    return json.dumps(value)
