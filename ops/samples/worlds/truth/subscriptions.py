"""Grants of subscriptions: by status, items, grace, pauses, ends, and their sessions."""

from collections.abc import Iterable, Mapping

from ops.samples.scenario import DAY
from ops.samples.worlds.account import Heard
from ops.samples.worlds.records import (
    Invoice,
    InvoiceLine,
    Session,
    Subscription,
    SubscriptionItem,
)
from ops.samples.worlds.truth.evidence import (
    AmbiguousWorldError,
    Evidence,
    names_of_line,
    shown_items,
)
from ops.samples.worlds.truth.money import period_is_gone
from ops.samples.worlds.truth.owners import of_subscription, owner
from ops.samples.worlds.truth.shop import TrueGrant

FULL = ("active", "trialing")
ENDED = ("canceled", "incomplete_expired")
Seats = Mapping[str, int]
Holding = Mapping[str, tuple[int, int | None]]
"""Seats and end by plan."""


def subscription_grants(evidence: Evidence) -> list[TrueGrant]:
    """Return what every subscription grants at the end, of which anything was heard."""
    known = set(evidence.newest(Subscription))
    known |= {each.subscription or "" for each in evidence.newest(Session).values()} - {""}
    return [grant for each in sorted(known) for grant in _grants(evidence, each)]


def _grants(evidence: Evidence, subscription_id: str) -> list[TrueGrant]:
    held = evidence.one(Subscription, subscription_id)
    session = _paid_session(evidence, subscription_id)
    whose = of_subscription(evidence, subscription_id)
    now = evidence.clock(whose.customer)
    if session is not None and _gives_way(evidence, subscription_id, session, now):
        session = None
    if session is not None:
        gone = period_is_gone(evidence, subscription_id)
        holding = {} if gone else _by_session(evidence, session)
    elif held is None:
        return []
    else:
        holding = _by_status(evidence, subscription_id, now)
    lasting = {
        plan: (seats, until)
        for plan, (seats, until) in holding.items()
        if until is None or until > now
    }
    user = owner(evidence, whose) if lasting else None
    if user is None:
        return []
    return [
        TrueGrant(
            user=user,
            source=subscription_id,
            plan=plan,
            features=evidence.shop.features(plan, seats),
            per_seat=evidence.shop.per_seat(plan),
            expires_at=until,
        )
        for plan, (seats, until) in sorted(lasting.items())
    ]


def _paid_session(evidence: Evidence, subscription_id: str) -> Heard | None:
    for said in evidence.said.values():
        for heard in said:
            session = heard.record
            if (
                isinstance(session, Session)
                and session.subscription == subscription_id
                and session.payment_status in ("paid", "no_payment_required")
            ):
                return heard
    return None


def _gives_way(evidence: Evidence, subscription_id: str, session: Heard, now: int) -> bool:
    """Return whether a snapshot speaks: as new as the session, giving access, or ended."""
    history = evidence.history(Subscription, subscription_id)
    if not history:
        return False
    at, held = history[-1]
    if at >= session.at or held.status in ENDED or held.status in FULL:
        return True
    holding = _by_status(evidence, subscription_id, now)
    return any(until is None or until > now for _, until in holding.values())


def _by_session(evidence: Evidence, heard: Heard) -> Holding:
    session = heard.record
    assert isinstance(session, Session)  # noqa: S101 - see _paid_session
    evidence.use("session-stands-in")
    until = heard.at + 3 * DAY
    lines = _lines_of_items(evidence, session)
    names = [names_of_line(evidence, line) for line in lines]
    plan, _ = evidence.shop.first_known(session.metadata, session.payment_link)
    if any(evidence.shop.plan_or_former(name)[1] for some in names for name in some):
        seats: dict[str, int] = {}
        for line, some in zip(lines, names, strict=True):
            code = next((code for name in some if (code := evidence.shop.plan(name))), None)
            if code:
                seats[code] = seats.get(code, 0) + line.quantity
        if seats != {plan: 1}:
            evidence.use("lines-of-session-that-stands-in")
        return {code: (count, until) for code, count in seats.items()}
    count = sum(line.quantity for line in lines) if lines else 1
    return {plan: (count, until)} if plan else {}


def _lines_of_items(evidence: Evidence, session: Session) -> list[InvoiceLine]:
    """Return the lines of the session's first invoice that bill an item for a period."""
    paid = [
        each
        for each in evidence.newest(Invoice).values()
        if each.subscription == session.subscription and each.status == "paid"
    ]
    first = evidence.one(Invoice, session.invoice) or min(
        paid, key=lambda each: each.paid_at or 0, default=None
    )
    return [line for line in first.lines if line.item and not line.proration] if first else []


def _by_status(evidence: Evidence, subscription_id: str, now: int) -> Holding:
    """Return the plans with seats and end of each; none where the status gives no access."""
    history = shown_items(evidence, subscription_id)
    _, held = history[-1]
    plans = plans_at(evidence, history, len(history) - 1)
    ends = _ends(evidence, held, plans)
    if held.status in (*FULL, "past_due") and period_is_gone(evidence, held.id):
        return {}
    if held.status == "past_due":
        return _in_grace(evidence, history, plans, ends)
    if held.status not in FULL:
        evidence.use("status-denies")
        return {}
    evidence.use("status-grants")
    if held.paused:
        evidence.use("collection-paused")
        pauses = held.resumes_at is None or now < held.resumes_at
        if pauses and evidence.shop.policy("collection_paused") == "end":
            return {}
    return {plan: (seats, ends) for plan, seats in plans.items()}


def _in_grace(
    evidence: Evidence,
    history: list[tuple[int, Subscription]],
    plans: Seats,
    ends: int | None,
) -> Holding:
    """Return what was paid for, until the days of grace are over."""
    full = [number for number, (_, each) in enumerate(history) if each.status in FULL]
    if not full:
        raise AmbiguousWorldError("first heard of as past due")
    paid = plans_at(evidence, history, full[-1])
    shared = {plan: min(paid[plan], seats) for plan, seats in plans.items() if plan in paid}
    if shared != plans:
        evidence.use("grace-prolongs-what-was-paid")
    evidence.use("grace")
    since = _past_due_since(evidence, history)
    found: dict[str, tuple[int, int | None]] = {}
    for plan, seats in (shared or paid).items():
        until = since + evidence.shop.grace_days(plan) * DAY
        found[plan] = (seats, until if ends is None else min(until, ends))
    return found


def _past_due_since(evidence: Evidence, history: list[tuple[int, Subscription]]) -> int:
    held = history[-1][1]
    other = max((at for at, each in history if each.status != "past_due"), default=0)
    signs = [at for at, each in history if each.status == "past_due" and at >= other]
    for said in evidence.said.values():
        for heard in said:
            record = heard.record
            if (
                heard.type == "invoice.payment_failed"
                and isinstance(record, Invoice)
                and record.subscription == held.id
                and heard.at >= other
            ):
                if heard.at == other:
                    raise AmbiguousWorldError("a failure in the second of another status")
                signs.append(heard.at)
    return min(signs)


def plans_at(
    evidence: Evidence, history: list[tuple[int, Subscription]], number: int
) -> dict[str, int]:
    """Return the plans that a snapshot's items stand for, with the seats of each."""
    _, held = history[number]
    found: dict[str, int] = {}
    for item in held.items:
        plan = _plan_of(evidence, history, number, item)
        if plan is not None:
            seats = 1 if item.quantity is None else item.quantity
            found[plan] = found.get(plan, 0) + seats
    if not found and not any(item.offer for _, each in history for item in _known(evidence, each)):
        code = evidence.shop.plan_of_code(held.metadata.get("plan_code"))
        if code:
            evidence.use("plan-code-of-subscription")
            return {code: 1}
    return found


def _known(evidence: Evidence, held: Subscription) -> Iterable[SubscriptionItem]:
    shop = evidence.shop
    for item in held.items:
        offer = item.offer
        if shop.is_nothing(offer) and held.metadata.get("plan_code"):
            raise AmbiguousWorldError("a plan code beside a price for nothing")
        for name in (offer.price, offer.lookup_key, offer.product):
            if shop.plan_or_former(name)[1]:
                yield item
                break


def _plan_of(
    evidence: Evidence,
    history: list[tuple[int, Subscription]],
    number: int,
    item: SubscriptionItem,
) -> str | None:
    shop = evidence.shop
    if shop.is_nothing(item.offer):
        evidence.use("nothing-on-purpose")
        return None
    if plan := named_plan(evidence, history, number, item):
        return plan
    kept = _kept_plan(evidence, history, number, item)
    if kept is not None and shop.policy("unknown_price") != "keep":
        evidence.use("unknown-price-ends")
        return None
    if kept is not None:
        evidence.use("unknown-price-keeps")
    return kept


def named_plan(
    evidence: Evidence,
    history: list[tuple[int, Subscription]],
    number: int,
    item: SubscriptionItem,
) -> str | None:
    """Return the plan by price id, key, the key that the price had before, or product."""
    shop, offer = evidence.shop, item.offer
    if plan := shop.plan(offer.price):
        evidence.use("named-by-price")
        return plan
    if plan := shop.plan(offer.lookup_key):
        evidence.use("named-by-lookup-key")
        return plan
    if offer.lookup_key is None:
        for _, older in history[number - 1 :: -1] if number else []:
            for each in older.items:
                if each.offer.price == offer.price and each.offer.lookup_key:
                    evidence.use("lookup-key-remembered")
                    return shop.plan(each.offer.lookup_key)
    if plan := shop.plan(offer.product):
        evidence.use("named-by-product")
    elif any(shop.was_sold(name) for name in (offer.price, offer.lookup_key, offer.product)):
        evidence.use("former-plan-grants-nothing")
    return plan


def _kept_plan(
    evidence: Evidence,
    history: list[tuple[int, Subscription]],
    number: int,
    item: SubscriptionItem,
) -> str | None:
    """Return what an item in no plan stands for: what it was for before."""
    older = history[:number][::-1]
    for at in range(number - 1, -1, -1):
        for each in history[at][1].items:
            if each.id == item.id and (plan := named_plan(evidence, history, at, each)):
                if evidence.account.ancient and each.quantity != item.quantity:
                    raise AmbiguousWorldError("the seats of an unknown price without an item")
                return plan
    if not older or any(each.id == item.id for _, held in older for each in held.items):
        return None
    earlier = {each.id for _, held in older for each in held.items}
    for each in history[number][1].items:
        if each.id in earlier and named_plan(evidence, history, number, each):
            return None
    raise AmbiguousWorldError("an unknown price on a new item of a known subscription")


def _ends(evidence: Evidence, held: Subscription, plans: Seats) -> int | None:
    if held.cancel_at is not None:
        evidence.use("cancel-at")
        return held.cancel_at
    if not held.cancel_at_period_end:
        return None
    evidence.use("cancel-at-period-end")
    entitled = [
        item.end
        for item in held.items
        if evidence.shop.plan(item.offer.price)
        or evidence.shop.plan(item.offer.lookup_key)
        or evidence.shop.plan(item.offer.product)
    ]
    if plans and not entitled:
        raise AmbiguousWorldError("the period of a plan without a known item")
    return max(entitled, default=None)
