"""Random histories of a small world, for properties that hold in every history.

There is one customer, and there are two users, two of most objects and few moments. Collisions in
one second, changed users, doubled payments and contradictions are frequent.
"""

from dataclasses import replace

from hypothesis import strategies as st

from billing.facts import CreditedLine, Fact, Line, Rank
from billing.ids import EventId
from tests.billing.fact_builders import (
    charge,
    checkout,
    credit_note,
    customer,
    dispute,
    intent,
    invoice,
    invoice_payment,
    item,
    line,
    link,
    refund,
    subscription,
    subscription_fields,
    summary,
)

SECONDS = st.sampled_from([0, 0, 0, 1, 30, 200_000])
USERS = st.sampled_from([None, "usr_1", "usr_2"])
STATUSES = st.sampled_from(
    ["active", "past_due", "paused", "incomplete", "canceled", "trialing", "brand_new"]
)
PRICES = st.sampled_from(["price_premium", "price_basic", "price_team", "price_x"])
PLANS = st.sampled_from([None, "basic", "platinum"])
INVOICES = st.sampled_from([None, "in_1", "in_2"])
INTENTS = st.sampled_from([None, "pi_1", "pi_2"])
CHARGES = st.sampled_from([None, "ch_1", "ch_2"])
AMOUNTS = st.sampled_from([0, 1000, 2999])
RANKS = st.sampled_from(list(Rank))


@st.composite
def subscriptions(draw: st.DrawFn) -> Fact:
    """Draw a subscription snapshot; some state the values before."""
    before = st.none() | st.builds(subscription_fields, STATUSES, USERS)
    return subscription(
        draw(STATUSES),
        draw(SECONDS),
        item(draw(PRICES)),
        user=draw(USERS),
        stripe_id=draw(st.sampled_from(["sub_1", "sub_2"])),
        cancel_at=draw(st.sampled_from([None, None, 100_000])),
        at_period_end=draw(st.booleans()),
        rank=draw(RANKS),
        before=draw(before),
    )


@st.composite
def checkouts(draw: st.DrawFn) -> Fact:
    """Draw a checkout: one-time or subscribing, paid or not, with any names."""
    return checkout(
        draw(SECONDS),
        stripe_id=draw(st.sampled_from(["cs_1", "cs_2"])),
        mode=draw(st.sampled_from(["payment", "payment", "subscription"])),
        payment_status=draw(st.sampled_from(["paid", "paid", "unpaid", "no_payment_required"])),
        amount_total=draw(AMOUNTS),
        user_id=draw(USERS),
        client_reference_id=draw(USERS),
        payment_link=draw(st.sampled_from([None, None, "plink_premium"])),
        price_id=draw(st.none() | PRICES),
        plan_code=draw(PLANS),
        payment_intent=draw(INTENTS),
        subscription=draw(st.sampled_from([None, "sub_1"])),
        invoice=draw(INVOICES),
    )


@st.composite
def attempts(draw: st.DrawFn) -> Fact:
    """Draw a payment intent or a charge; they may contradict each other."""
    if draw(st.booleans()):
        return intent(
            draw(st.sampled_from(["succeeded", "processing", "canceled"])),
            draw(SECONDS),
            stripe_id=draw(st.sampled_from(["pi_1", "pi_2"])),
            amount_received=draw(AMOUNTS),
            user_id=draw(USERS),
            plan_code=draw(PLANS),
            invoice=draw(INVOICES),
        )
    return charge(
        draw(SECONDS),
        stripe_id=draw(st.sampled_from(["ch_1", "ch_2"])),
        status=draw(st.sampled_from(["succeeded", "failed", "pending"])),
        captured=draw(st.booleans()),
        amount_captured=draw(AMOUNTS),
        amount_refunded=draw(AMOUNTS),
        payment_intent=draw(INTENTS),
        invoice=draw(INVOICES),
    )


@st.composite
def returns(draw: st.DrawFn) -> Fact:
    """Draw a refund or a dispute of any payment."""
    if draw(st.booleans()):
        return refund(
            draw(st.sampled_from(["succeeded", "failed", "pending"])),
            draw(SECONDS),
            draw(AMOUNTS),
            charge=draw(CHARGES),
            payment_intent=draw(INTENTS),
            rank=draw(RANKS),
        )
    return dispute(
        draw(st.sampled_from(["lost", "won", "needs_response", "prevented"])),
        draw(SECONDS),
        stripe_id=draw(st.sampled_from(["dp_1", "dp_2"])),
        opened=draw(SECONDS),
        charge=draw(CHARGES),
        payment_intent=draw(INTENTS),
    )


@st.composite
def lines(draw: st.DrawFn) -> Line:
    """Draw a line of an invoice, of any kind."""
    return line(
        draw(PRICES),
        draw(st.sampled_from([-500, 0, 500])),
        id=draw(st.sampled_from(["il_1", "il_2"])),
        quantity=draw(st.sampled_from([None, 1, 3])),
        kind=draw(st.sampled_from(["subscription", "invoiceitem"])),
        proration=draw(st.booleans()),
        subscription=draw(st.sampled_from([None, "sub_1"])),
        lasts=draw(st.sampled_from([None, 0, 90_000])),
    )


CREDIT_NOTES = st.builds(
    lambda at, amount, invoice, line, status: credit_note(
        at,
        total=amount,
        invoice=invoice,
        lines=(CreditedLine(invoice_line=line, amount=amount, quantity=None),) if line else (),
        status=status,
    ),
    SECONDS,
    AMOUNTS,
    st.sampled_from(["in_1", "in_2"]),
    st.sampled_from([None, "il_1", "il_2"]),
    st.sampled_from(["issued", "issued", "void"]),
)


@st.composite
def bills(draw: st.DrawFn) -> Fact:
    """Draw an invoice or an invoice payment."""
    if draw(st.booleans()):
        return invoice_payment(
            draw(SECONDS),
            draw(AMOUNTS),
            invoice=draw(INVOICES),
            paid_by=draw(INTENTS | CHARGES),
            status=draw(st.sampled_from(["paid", "open", "canceled"])),
        )
    return invoice(
        draw(SECONDS),
        stripe_id=draw(st.sampled_from(["in_1", "in_2"])),
        status=draw(st.sampled_from(["paid", "open", "draft"])),
        amount_paid=draw(AMOUNTS),
        subscription=draw(st.sampled_from([None, "sub_1"])),
        payment_refs=draw(st.sampled_from([(), ("pi_1",), ("ch_1", "pi_2")])),
        lines=tuple(draw(st.lists(lines(), max_size=2))),
        amount_due=draw(AMOUNTS),
        total=draw(AMOUNTS),
        plan_code=draw(PLANS),
        user_id=draw(USERS),
        payment_failed=draw(st.booleans()),
    )


CUSTOMERS = st.builds(lambda user, at, was: customer(user, at, was=was), USERS, SECONDS, USERS)
SUMMARIES = st.builds(
    lambda keys, at, whole: summary(*keys, seconds=at, complete=whole),
    st.sets(st.sampled_from("abc")),
    SECONDS,
    st.booleans(),
)
LINKS = st.builds(
    lambda target, user, since, ended: link(target, user, since, ended=ended),
    st.sampled_from(["cus_1", "sub_1", "pi_1", "cs_1", "in_1", "ch_1"]),
    st.sampled_from(["usr_1", "usr_2"]),
    SECONDS,
    st.sampled_from([None, None, 200_000]),
)


def _with_event_ids(facts: list[Fact]) -> list[Fact]:
    """Give every fact an event of its own, in an order without meaning."""
    return [_of_event(fact, f"evt_{number * 7919 % 1009:04}") for number, fact in enumerate(facts)]


def _of_event(fact: Fact, event: str) -> Fact:
    return replace(fact, event_id=EventId(event))


HISTORIES = st.lists(
    subscriptions()
    | checkouts()
    | attempts()
    | returns()
    | bills()
    | CREDIT_NOTES
    | CUSTOMERS
    | SUMMARIES
    | LINKS,
    max_size=16,
).map(_with_event_ids)
