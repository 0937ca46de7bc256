"""What a subscription gives: by its status, for as long as its dates say.

``active`` and ``trialing`` give access, ``past_due`` gives it for the plan's days of grace, every
other word gives none. While a subscription renews, no date ends it: a late webhook cuts nobody
off. A paid checkout speaks for its subscription until a snapshot does.
"""

from collections.abc import Callable, Container, Iterable
from datetime import datetime, timedelta
from typing import NamedTuple

from billing.catalogue import Plan
from billing.facts import Item, SubscriptionFields
from billing.ids import CustomerId, PlanCode, UserId
from billing.objects.checkouts import Session
from billing.objects.invoices import Invoice
from billing.objects.observations import Granting, first
from billing.objects.plan_references import Offer
from billing.objects.store import Objects
from billing.objects.subscriptions import Subscription, latest_period
from billing.projection.grants import Granted, Verdict
from billing.projection.ownership import Users
from billing.projection.plan_lookup import Held, Shelf, sold_before
from billing.rows import SubscriptionRow
from billing.statuses import PAST_DUE, SUBSCRIPTION_GRANTS

PROVISIONAL = timedelta(days=3)
"""How long a paid checkout speaks for a subscription of which no snapshot comes."""


class Begun(NamedTuple):
    """A paid checkout that began a subscription."""

    session: Session
    granted: Granting


class Source(NamedTuple):
    """A subscription as everything that speaks of it knows it.

    ``speaker`` decides: the newest snapshot, or the checkout that began it. ``failures`` are the
    moments at which one of its bills could not be paid.
    """

    id: str
    customer_id: CustomerId | None
    itself: Subscription | None
    begun: Begun | None
    speaker: Subscription | Begun
    failures: tuple[datetime, ...]


class Access(NamedTuple):
    """Whether a plan is in force, until when, and why."""

    active: bool
    expires_at: datetime | None
    because: str


class Given(NamedTuple):
    """What a speaker gives under one plan."""

    held: Held
    access: Access


Starts = dict[PlanCode, tuple[Held, datetime]]
"""Every plan that was ever stood for, as it was held last, and since when."""


def sources_of(objects: Objects, users: Users) -> list[Source]:
    """Every subscription that a snapshot or a paid checkout states."""
    known = sorted(users.subscriptions_begun | objects.subscriptions.keys())
    found = [_source(objects, users, each) for each in known]
    return [source for source in found if source]


def _source(objects: Objects, users: Users, known_as: str) -> Source | None:
    itself = objects.subscriptions.get(known_as)
    buyers = sorted(users.buyers_of(known_as), key=_by_id)
    begun = _newest_paid(buyers)
    speaker = _speaker(itself, begun)
    if speaker is None:
        return None
    bills = sorted(users.bills_of(known_as), key=_by_id)
    speakers = (*((itself,) if itself else ()), *buyers, *bills)
    return Source(
        id=known_as,
        customer_id=first([each.customer_id for each in speakers]),
        itself=itself,
        begun=begun,
        speaker=speaker,
        failures=tuple(at for invoice in bills for at in invoice.failures),
    )


def _by_id(paper: Session | Invoice) -> str:
    return paper.id


def _newest_paid(buyers: Iterable[Session]) -> Begun | None:
    paid = [Begun(session, session.granted) for session in buyers if session.granted]
    return max(paid, key=lambda begun: begun.granted.since, default=None)


def _speaker(itself: Subscription | None, begun: Begun | None) -> Subscription | Begun | None:
    """A checkout gives way to a snapshot that is not older, has ended, or grants by itself."""
    if itself is None or begun is None:
        return itself or begun
    status = itself.state.fields.status
    if itself.ended or status in SUBSCRIPTION_GRANTS or itself.state.at >= begun.granted.since:
        return itself
    return begun


def project_subscriptions(
    sources: Iterable[Source], users: Users, shelf: Shelf, granted: Granted, now: datetime
) -> list[SubscriptionRow]:
    """The rows of every subscription that Stripe has shown, and what each gives to whom."""
    rows = []
    for source in sources:
        user_id = users.of_subscription(source.id, source.customer_id)
        ever = users.ever_of_subscription(source.id, source.customer_id)
        granted.to(user_id, ever, source.id, _verdicts(source, shelf, now))
        if source.itself:
            rows.append(_row(granted, source, source.itself, user_id))
    return rows


def _row(
    granted: Granted, source: Source, itself: Subscription, user_id: UserId | None
) -> SubscriptionRow:
    fields = itself.state.fields
    return SubscriptionRow(
        realm=granted.realm,
        stripe_subscription_id=source.id,
        stripe_customer_id=source.customer_id,
        user_id=user_id,
        status=fields.status,
        prices=itself.prices,
        current_period_end=itself.period_end,
        cancel_at_period_end=fields.cancel_at_period_end,
        as_of=itself.state.at,
    )


def _verdicts(source: Source, shelf: Shelf, now: datetime) -> list[Verdict]:
    """What the subscription gives now, and no longer gives of what it once stood for."""
    if isinstance(source.speaker, Begun):
        event_id, guessed = source.speaker.granted.newest.event_id, False
        given = _by_checkout(source, source.speaker, shelf, now)
    else:
        event_id, guessed = source.speaker.state.event_id, source.speaker.guessed
        given = _by_snapshot(source, source.speaker, shelf, now)
    present = {each.held.plan.code: each for each in given}
    starts = _starts(source, shelf.plans_held, shelf.plans_offered)
    before = _former_starts(source, shelf)
    past = _past(source, before, starts, present)
    since = before | starts
    return [
        Verdict(
            plan_code=code,
            features=held.plan.features_for(held.quantity),
            active=access.active,
            starts_at=since[code][1],
            expires_at=access.expires_at,
            event_id=event_id,
            because=access.because,
            guessed=guessed,
            per_seat=held.plan.adding_up,
        )
        for code, (held, access) in (past | present).items()
    ]


def _starts(
    source: Source,
    held_in: Callable[[tuple[Item, ...]], tuple[Held, ...]],
    offered_by: Callable[[Offer], tuple[Plan, ...]],
) -> Starts:
    """Every plan the subscription was ever said to stand for, and when that was said first."""
    stated: Starts = {}
    for at, items in source.itself.ran_on if source.itself else ():
        for held in held_in(items):
            since = stated[held.plan.code][1] if held.plan.code in stated else at
            stated[held.plan.code] = held, min(since, at)
    if source.begun:
        for offer in source.begun.session.offers:
            for plan in offered_by(offer):
                held, since = stated.get(plan.code, (Held(plan, 1), source.begun.granted.since))
                stated[plan.code] = held, min(since, source.begun.granted.since)
    return stated


def _former_starts(source: Source, shelf: Shelf) -> Starts:
    """The same by catalogues of before, if there are any."""
    if not shelf.catalogue.former:
        return {}
    return _starts(source, shelf.plans_formerly_held, shelf.plans_formerly_offered)


def _past(
    source: Source, before: Starts, starts: Starts, present: Container[PlanCode]
) -> dict[PlanCode, Given]:
    """The plans it stood for by earlier catalogues, and those that it is no longer on."""
    unsold = {c: _not_by_these(source.id, h) for c, (h, _) in before.items() if c not in starts}
    lost = {c: _no_longer(source.id, h) for c, (h, _) in starts.items() if c not in present}
    return unsold | lost


def _no_longer(subscription: str, held: Held) -> Given:
    because = f"Subscription {subscription} is no longer on plan {held.plan.code}."
    return Given(held, Access(active=False, expires_at=None, because=because))


def _not_by_these(subscription: str, held: Held) -> Given:
    because = sold_before(f"Subscription {subscription}", held.plan)
    return Given(held, Access(active=False, expires_at=None, because=because))


def _by_checkout(source: Source, begun: Begun, shelf: Shelf, now: datetime) -> list[Given]:
    """Paid is paid: access begins at once, and ends after three days without a snapshot."""
    until = begun.granted.since + PROVISIONAL
    waits = f"no snapshot of subscription {source.id} has come since"
    access = Access(
        active=now < until,
        expires_at=until,
        because=f"Checkout {begun.session.id} is complete; {waits}.",
    )
    items = source.itself.state.fields.items if source.itself else ()
    held = shelf.plans_held(items)
    if not held:
        shelf.note_unknown_offer(begun.session.offer)
        held = tuple(Held(plan, 1) for plan in shelf.plans_offered(begun.session.offer))
    return [Given(each, access) for each in held]


def _by_snapshot(source: Source, itself: Subscription, shelf: Shelf, now: datetime) -> list[Given]:
    """What the newest snapshot says, for each plan its items stand for."""
    items = itself.state.fields.items
    if not itself.ended:
        shelf.note_unknown_items(items)
    ends = _ends(itself.state.fields, shelf)
    return [
        Given(held, _access(source, itself, held.plan, ends, now))
        for held in shelf.plans_held(items)
    ]


def _ends(fields: SubscriptionFields, shelf: Shelf) -> datetime | None:
    """``cancel_at``, else the latest period of the entitled items if it ends with the period."""
    if fields.cancel_at or not fields.cancel_at_period_end:
        return fields.cancel_at
    return latest_period(item for item in fields.items if shelf.plan_of(item))


def _access(
    source: Source, itself: Subscription, plan: Plan, ends: datetime | None, now: datetime
) -> Access:
    """The status decides; words that are not known give nothing."""
    status = itself.state.fields.status
    if status in SUBSCRIPTION_GRANTS:
        return _while_running(source.id, status, ends, now)
    if status == PAST_DUE:
        return _in_grace(source, itself, plan, ends, now)
    return Access(
        active=False,
        expires_at=_ended_at(itself),
        because=f"Subscription {source.id} is {status}, which gives no access.",
    )


def _ended_at(itself: Subscription) -> datetime | None:
    return (itself.state.fields.ended_at or itself.state.at) if itself.ended else None


def _while_running(subscription: str, status: str, ends: datetime | None, now: datetime) -> Access:
    if ends is None:
        because = f"Subscription {subscription} is {status}."
        return Access(active=True, expires_at=None, because=because)
    ending = f"is {status} and ends" if now < ends else "ended"
    because = f"Subscription {subscription} {ending} on {_day(ends)}."
    return Access(active=now < ends, expires_at=ends, because=because)


def _in_grace(
    source: Source, itself: Subscription, plan: Plan, ends: datetime | None, now: datetime
) -> Access:
    """Past due gives the plan's days of grace, but no longer than the subscription lasts."""
    since = _past_due_since(source, itself)
    until = since + timedelta(days=plan.grace_days)
    until = min(until, ends) if ends else until
    grace = f"plan {plan.code} gives {plan.grace_days} days of grace"
    return Access(
        active=now < until,
        expires_at=until,
        because=f"Subscription {source.id} is past due since {_day(since)}; {grace}.",
    )


def _past_due_since(source: Source, itself: Subscription) -> datetime:
    """The earliest sign of it since the last snapshot in another status."""
    orderly = itself.in_order_until
    signs = [at for at in source.failures if orderly is None or at > orderly]
    return min([*signs, itself.past_due_since or itself.state.at])


def _day(at: datetime) -> str:
    return f"{at:%Y-%m-%d}"
