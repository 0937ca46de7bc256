"""Builders of facts: a test names only what it is about, the rest has ordinary values.

Everything belongs to customer ``cus_1`` of the realm ``test``; times are seconds after ``START``.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from billing.catalogue import Catalogue, read_catalogue
from billing.facts import (
    ChargeFields,
    CheckoutSessionFields,
    CreditNoteFields,
    CustomerFields,
    DisputeFields,
    EntitlementSummaryFields,
    Fact,
    Fields,
    GrantFields,
    InvoiceFields,
    InvoicePaymentFields,
    Item,
    Kind,
    Line,
    LinkFields,
    Metadata,
    PaymentIntentFields,
    Rank,
    RefundFields,
    SubscriptionFields,
)
from billing.ids import CustomerId, EventId, Realm, object_key, summary_key
from billing.projection.party import project
from billing.rows import EntitlementRow, PaymentRow, Projection

START = datetime(2026, 11, 1, 12, tzinfo=UTC)
DAY = 86_400

CATALOGUE = read_catalogue(
    {
        "plans": {
            "premium": {
                "prices": ["price_premium", "prod_premium", "plink_premium"],
                "grace_days": 7,
                "features": {"signals_enabled": True, "max_devices": 5},
            },
            "basic": {"prices": ["price_basic"], "features": {"max_devices": 1}},
            "team": {
                "prices": ["price_team"],
                "features": {"max_devices": 2},
                "per_seat": ["max_devices"],
            },
        }
    }
)


def at(seconds: float) -> datetime:
    """Return the moment so many seconds after the start."""
    return START + timedelta(seconds=seconds)


def with_policy(policy: dict[str, str]) -> Catalogue:
    """Return the catalogue with another refund policy."""
    return replace(CATALOGUE, policy=read_catalogue({"policy": policy}).policy)


def project_facts(
    *facts: Fact | Iterable[Fact], now: float = 10 * DAY, catalogue: Catalogue = CATALOGUE
) -> Projection:
    """Return the projection of facts so many seconds after the start."""
    flat = [one for each in facts for one in ([each] if isinstance(each, Fact) else each)]
    return project(flat, catalogue, at(now))


def only_grant(projection: Projection) -> EntitlementRow:
    """Return the only entitlement row."""
    (row,) = projection.entitlements.values()
    return row


def only_payment(projection: Projection) -> PaymentRow:
    """Return the only payment row."""
    (row,) = projection.payments.values()
    return row


def amounts(projection: Projection) -> dict[str, tuple[int, int]]:
    """Return the amounts received and refunded, by payment reference."""
    rows = projection.payments.values()
    return {row.payment_ref: (row.amount_minor, row.amount_refunded_minor) for row in rows}


def naming(user: str | None) -> Metadata:
    """Return metadata that names a user, or none."""
    return (("user_id", user),) if user else ()


def _with_metadata(fields: dict[str, Any], member: str = "metadata") -> dict[str, Any]:
    """Return fields in which the words for a user and for a plan have become metadata."""
    user, names = fields.pop("user_id", ...), ("plan_code", "price_id")
    if user is not ...:
        fields = {member: naming(user), **fields}
    named = tuple((name, value) for name in names if (value := fields.pop(name, None)))
    return {**fields, "metadata": (*named, *fields.get("metadata", ()))} if named else fields


def make_fact(
    kind: Kind,
    stripe_id: str,
    fields: Fields,
    seconds: float,
    *,
    event: str | None = None,
    type_: str = "some.event",
    rank: Rank = Rank.UPDATED,
    before: Fields | None = None,
    customer: str | None = "cus_1",
    realm: str = "test",
) -> Fact:
    """Return a fact of any kind."""
    key = object_key(Realm(realm), stripe_id)
    if kind is Kind.ENTITLEMENT_SUMMARY:
        key = summary_key(Realm(realm), stripe_id)
    return Fact(
        kind=kind,
        object_key=key,
        event_id=EventId(event or f"evt_{stripe_id}_{seconds}"),
        event_type=type_,
        created_at=at(seconds),
        rank=rank,
        fields=fields,
        before=before,
        customer_id=CustomerId(customer) if customer else None,
        mentions=(key,),
    )


def with_fields(fact: Fact, **fields: Any) -> Fact:
    """Return the fact with other values of some of its fields."""
    return replace(fact, fields=replace(fact.fields, **fields))


def customer(
    user: str | None,
    seconds: float = 0,
    *,
    was: str | None = None,
    changed: bool = False,
    clock: str | None = None,
    **how: Any,
) -> Fact:
    """Return a customer whose metadata names a user; ``was`` is the user before this event."""
    before = CustomerFields(metadata=naming(was), deleted=False) if was or changed else None
    fields = CustomerFields(metadata=naming(user), deleted=False, test_clock=clock)
    stripe_id = how.pop("stripe_id", "cus_1")
    return make_fact(
        Kind.CUSTOMER, stripe_id, fields, seconds, before=before, customer=stripe_id, **how
    )


def item(
    price: str | None = "price_premium",
    quantity: int = 1,
    period_end: float | None = 30 * DAY,
    **names: Any,
) -> Item:
    """Return a subscription item that is paid for thirty days."""
    end = None if period_end is None else at(period_end)
    usual = {"lookup_key": None, "product": None}
    return Item(price=price, quantity=quantity, period_end=end, **{**usual, **names})


def subscription_fields(
    status: str = "active",
    user: str | None = "usr_1",
    *items: Item,
    cancel_at: float | None = None,
    at_period_end: bool = False,
    ended: float | None = None,
) -> SubscriptionFields:
    """Return the fields of a snapshot, on plan premium if no items are given."""
    return SubscriptionFields(
        status=status,
        items=items or (item(),),
        metadata=naming(user),
        cancel_at=None if cancel_at is None else at(cancel_at),
        cancel_at_period_end=at_period_end,
        started_at=START,
        ended_at=None if ended is None else at(ended),
        trial_end=None,
    )


def subscription(
    status: str = "active",
    seconds: float = 0,
    *items: Item,
    user: str | None = "usr_1",
    stripe_id: str = "sub_1",
    cancel_at: float | None = None,
    at_period_end: bool = False,
    ended: float | None = None,
    stated: Mapping[str, Any] | None = None,
    **how: Any,
) -> Fact:
    """Return a subscription snapshot that names its own user; ``stated`` are further fields."""
    fields = subscription_fields(
        status, user, *items, cancel_at=cancel_at, at_period_end=at_period_end, ended=ended
    )
    fields = replace(fields, **(stated or {}))
    return make_fact(Kind.SUBSCRIPTION, stripe_id, fields, seconds, **how)


SESSION = CheckoutSessionFields(
    mode="payment",
    status="complete",
    payment_status="paid",
    amount_total=2999,
    currency="usd",
    payment_link=None,
    payment_intent="pi_1",
    subscription=None,
    invoice=None,
)


def checkout(
    seconds: float = 0, *, stripe_id: str = "cs_1", how: Any = None, **fields: Any
) -> Fact:
    """Return a paid checkout of ``price_premium`` by ``usr_1``; fields are overridden by name."""
    how = {"type_": "checkout.session.completed", **(how or {})}
    usual = {"user_id": "usr_1", "price_id": "price_premium"}
    stated = replace(SESSION, **_with_metadata({**usual, **fields}))
    return make_fact(Kind.CHECKOUT_SESSION, stripe_id, stated, seconds, **how)


def subscribed(seconds: float = 0, **fields: Any) -> Fact:
    """Return a paid checkout that began ``sub_1``, as in old API versions: without invoice."""
    begun = {"mode": "subscription", "payment_intent": None, "subscription": "sub_1"}
    return checkout(seconds, **{**begun, **fields})


INTENT = PaymentIntentFields(
    status="succeeded",
    amount=2999,
    amount_received=2999,
    currency="usd",
    failed=False,
    invoice=None,
    order_reference=None,
)


def intent(
    status: str = "succeeded",
    seconds: float = 0,
    *,
    stripe_id: str = "pi_1",
    how: Any = None,
    **fields: Any,
) -> Fact:
    """Return a payment intent; it received nothing before it succeeds."""
    if status != "succeeded":
        fields = {"amount_received": 0, **fields}
    stated = replace(INTENT, status=status, **_with_metadata(fields))
    return make_fact(Kind.PAYMENT_INTENT, stripe_id, stated, seconds, **(how or {}))


CHARGE = ChargeFields(
    status="succeeded",
    captured=True,
    amount=2999,
    amount_captured=2999,
    amount_refunded=0,
    currency="usd",
    payment_intent="pi_1",
    invoice=None,
)


def charge(seconds: float = 0, *, stripe_id: str = "ch_1", how: Any = None, **fields: Any) -> Fact:
    """Return a charge of ``pi_1`` that succeeded; it captures the whole amount if none is given."""
    if fields.get("captured", True) and "amount_captured" in fields:
        fields.setdefault("amount", fields["amount_captured"])
    stated = replace(CHARGE, **_with_metadata(fields))
    return make_fact(Kind.CHARGE, stripe_id, stated, seconds, **(how or {}))


def refund(
    status: str = "succeeded",
    seconds: float = 0,
    amount: int = 2999,
    *,
    stripe_id: str = "re_1",
    charge: str | None = "ch_1",
    payment_intent: str | None = "pi_1",
    made: float | None = None,
    **how: Any,
) -> Fact:
    """Return a refund of the whole amount; ``made`` is the second of its own ``created``."""
    fields = RefundFields(
        status=status,
        amount=amount,
        currency="usd",
        charge=charge,
        payment_intent=payment_intent,
        own_created_at=None if made is None else at(made),
    )
    return make_fact(Kind.REFUND, stripe_id, fields, seconds, **{"customer": None, **how})


def dispute(
    status: str,
    seconds: float = 0,
    *,
    stripe_id: str = "dp_1",
    opened: float = 0,
    amount: int = 2999,
    currency: str = "usd",
    charge: str | None = "ch_1",
    payment_intent: str | None = "pi_1",
    **how: Any,
) -> Fact:
    """Return a dispute of ``pi_1``."""
    fields = DisputeFields(
        status=status,
        amount=amount,
        currency=currency,
        charge=charge,
        payment_intent=payment_intent,
        opened_at=at(opened),
    )
    return make_fact(Kind.DISPUTE, stripe_id, fields, seconds, **{"customer": None, **how})


def line(
    price: str | None = "price_premium",
    amount: int = 2999,
    *,
    lasts: float | None = None,
    since: float = 0,
    **fields: Any,
) -> Line:
    """Return a line of an invoice or a checkout; ``lasts`` is the length of its period."""
    named: dict[str, Any] = {"id": f"il_{price}", "lookup_key": None, "product": None}
    if lasts is not None:
        named |= {"period_start": at(since), "period_end": at(since + lasts)}
    return Line(price=price, amount=amount, **{**named, **fields})


INVOICE = InvoiceFields(
    status="paid",
    amount_paid=2999,
    currency="usd",
    subscription="sub_1",
    payment_refs=(),
    paid_at=None,
    payment_failed=False,
)


def invoice(seconds: float = 0, *, stripe_id: str = "in_1", how: Any = None, **fields: Any) -> Fact:
    """Return a paid invoice of ``sub_1`` with one line that names no payment.

    Its user stands in the copy of the subscription's metadata; without one, in its own metadata.
    """
    subscription = fields.get("subscription", INVOICE.subscription)
    member = "subscription_metadata" if subscription else "metadata"
    usual = {"lines": (line(kind="subscription" if subscription else "invoiceitem"),)}
    stated = replace(INVOICE, **_with_metadata({**usual, **fields}, member))
    return make_fact(Kind.INVOICE, stripe_id, stated, seconds, **(how or {}))


def open_invoice(seconds: float = 0, **fields: Any) -> Fact:
    """Return an invoice before its payment."""
    return invoice(seconds, **{"status": "open", "amount_paid": 0, **fields})


def invoice_payment(
    seconds: float = 0,
    amount: int = 2999,
    *,
    stripe_id: str = "inpay_1",
    invoice: str | None = "in_1",
    paid_by: str | None = "pi_1",
    status: str = "paid",
    **how: Any,
) -> Fact:
    """Return an ``invoice_payment``: the amount that ``pi_1`` paid of ``in_1``."""
    fields = InvoicePaymentFields(
        status=status, amount_paid=amount, currency="usd", invoice=invoice, payment_ref=paid_by
    )
    return make_fact(Kind.INVOICE_PAYMENT, stripe_id, fields, seconds, **{"customer": None, **how})


CREDIT_NOTE = CreditNoteFields(
    status="issued",
    invoice="in_1",
    total=2999,
    out_of_band_amount=0,
    currency="usd",
    refunds=(),
    lines=(),
    lines_complete=True,
    own_created_at=None,
    voided_at=None,
)


def credit_note(
    seconds: float = 0, *, stripe_id: str = "cn_1", how: Any = None, **fields: Any
) -> Fact:
    """Return a credit note of ``in_1`` over the whole amount that gives nothing back itself."""
    stated = replace(CREDIT_NOTE, **fields)
    return make_fact(Kind.CREDIT_NOTE, stripe_id, stated, seconds, **(how or {}))


def summary(*keys: str, seconds: float = 0, complete: bool = True, **how: Any) -> Fact:
    """Return Stripe's list of the customer's features."""
    fields = EntitlementSummaryFields(lookup_keys=keys, complete=complete)
    return make_fact(Kind.ENTITLEMENT_SUMMARY, "cus_1", fields, seconds, **how)


def link(
    target: str, user: str, since: float = 0, *, ended: float | None = None, **how: Any
) -> Fact:
    """Return a person's link of a Stripe id to a user; ``ended`` takes it back at that second."""
    fields = LinkFields(
        target=target,
        user_id=user,
        since=at(since),
        ended_at=None if ended is None else at(ended),
    )
    stripe_id = how.pop("stripe_id", f"op_{target}_{user}_{since}")
    seconds, rank = (since, Rank.CREATED) if ended is None else (ended, Rank.DELETED)
    return make_fact(Kind.LINK, stripe_id, fields, seconds, **{"rank": rank, **how})


def granted(
    user: str = "usr_1",
    plan: str | None = "premium",
    *,
    stripe_id: str = "grant_1",
    starts: float = 0,
    until: float | None = None,
    ended: float | None = None,
    features: dict[str, bool | int] | None = None,
    **how: Any,
) -> Fact:
    """Return what a person gave a user; ``ended`` takes it back at that second."""
    fields = GrantFields(
        user_id=user,
        plan_code=plan,
        features=tuple(sorted((features or {}).items())),
        starts_at=at(starts),
        until=None if until is None else at(until),
        actor="cli:ada" if ended is None else "cli:bob",
        reason="four months for the outage" if ended is None else "given by mistake",
        ended_at=None if ended is None else at(ended),
    )
    seconds, rank = (0.0, Rank.CREATED) if ended is None else (ended, Rank.DELETED)
    return make_fact(Kind.GRANT, stripe_id, fields, seconds, **{"rank": rank, **how})
