"""Everything that may happen in a random world; an action that finds no object does nothing."""

from collections.abc import Callable
from dataclasses import replace
from random import Random
from typing import Final

from ops.samples.scenario import DAY
from ops.samples.worlds import offers
from ops.samples.worlds.records import (
    Charge,
    CreditNote,
    Customer,
    Dispute,
    Intent,
    Invoice,
    InvoiceLine,
    Metadata,
    Refund,
    Session,
    Subscription,
)
from ops.samples.worlds.stage import Stage, happens
from ops.samples.worlds.steps import billing, buying, people, subscribing

Action = Callable[[Stage, Random], None]
RUNNING: Final = ("active", "trialing", "past_due")
ACTIONS: dict[str, Action] = {}


def action(play: Action) -> Action:
    """Register an action by its name."""
    ACTIONS[play.__name__] = play
    return play


@action
def arrive(stage: Stage, random: Random) -> None:
    """Make a customer, whose user is named in one of several ways."""
    user = random.choice(stage.users)
    style = random.choices(["customer", "objects", "references", "nowhere"], weights=[5, 4, 2, 1])[
        0
    ]
    metadata = stage.named_by_key(random, user) if style == "customer" else {}
    made = people.arrive(stage.account, metadata=metadata, clock=stage.clocked)
    stage.named[made.id] = (style, user)


@action
def move_customer(stage: Stage, random: Random) -> None:
    """Name another user in the customer's metadata."""
    customer = stage.customer(random)
    if customer is not None and stage.named[customer.id][0] == "customer":
        user = random.choice(stage.users)
        if user != stage.named[customer.id][1]:
            people.name_user(stage.account, customer, user)
            stage.named[customer.id] = ("customer", user)


@action
def clear_customer(stage: Stage, random: Random) -> None:
    """Clear the user in the customer's metadata, which says nothing about anyone."""
    customer = stage.customer(random)
    if customer is not None and stage.named[customer.id][0] == "customer":
        people.name_user(stage.account, customer, None)


@action
def restate_subscription(stage: Stage, random: Random) -> None:
    """Name another user in a subscription's own metadata, or clear it."""
    held = stage.pick(random, Subscription, status=RUNNING)
    if held is None or "user_id" not in held.metadata:
        return
    metadata = {} if happens(random, 0.3) else {"user_id": random.choice(stage.users)}
    subscribing.update(stage.account, held, metadata=metadata)


@action
def delete_customer(stage: Stage, random: Random) -> None:
    """Delete a customer whose subscriptions have ended."""
    customer = stage.customer(random)
    if customer is None or customer.test_clock:
        return
    held = [each for each in stage.account.of(Subscription) if each.customer == customer.id]
    if all(each.status in ("canceled", "incomplete_expired") for each in held):
        people.delete_customer(stage.account, customer)


@action
def link_by_hand(stage: Stage, random: Random) -> None:
    """Have a person state whose a customer, a subscription, a checkout or a payment is."""
    account, user = stage.account, random.choice(stage.users)
    kinds = (Customer, Subscription, Subscription, Session, Invoice, Intent)
    ways = [some for kind in kinds if (some := [each.id for each in account.of(kind)])]
    standing = [each.object_id for each in account.linked if each.ended_at is None]
    again = bool(standing) and happens(random, 0.2)
    if ways:
        chosen = random.choice(standing if again else random.choice(ways))
        people.link_by_hand(account, chosen, user)


@action
def end_link(stage: Stage, random: Random) -> None:
    """Have a person take one of the links back."""
    standing = [each for each in stage.account.linked if each.ended_at is None]
    if standing:
        people.end_link(stage.account, random.choice(standing))


@action
def grant_by_hand(stage: Stage, random: Random) -> None:
    """Have a person give a plan or features, for a time or for good, from now or from later on."""
    code = random.choice([*offers.GIVEN_PLANS, None, None])
    features, per_seat = offers.given_features(code) if code else (_given(random), ())
    people.grant_by_hand(
        stage.account,
        random.choice(stage.users),
        plan=code,
        features=features,
        per_seat=per_seat,
        later=random.choice([0, 0, 0, 2 * DAY, 60 * DAY]),
        lasts=random.choice([None, None, 3600, 5 * DAY, 30 * DAY, 120 * DAY]),
        everywhere=stage.account.livemode or happens(random, 0.8),
    )


def _given(random: Random) -> dict[str, bool | int]:
    ways: list[dict[str, bool | int]] = [
        {"beta": True},
        {"max_devices": 25},
        {"seats": 4},
        {"basic": True, "max_devices": 1},
        {"addon": True, "seats": 1},
    ]
    return random.choice(ways)


@action
def end_grant(stage: Stage, random: Random) -> None:
    """Have a person end one of the grants, which may be over or not have begun."""
    standing = [each for each in stage.account.granted if each.ended_at is None]
    if standing:
        people.end_grant(stage.account, random.choice(standing))


@action
def list_features(stage: Stage, random: Random) -> None:
    """Have Stripe list features of a customer, sometimes more than an event shows."""
    customer = stage.customer(random)
    if customer is not None:
        count = random.choice([0, 1, 2, 3, 12])
        keys = [f"listed_{number:02}" for number in range(20)]
        people.list_features(stage.account, customer, sorted(random.sample(keys, count)))


@action
def make_noise(stage: Stage, random: Random) -> None:
    """Send an event that says nothing."""
    event_type, kind = random.choice(
        [
            ("product.updated", "product"),
            ("payout.paid", "payout"),
            ("payment_method.attached", "payment_method"),
            ("customer.discount.created", "discount"),
            ("setup_intent.succeeded", "setup_intent"),
            ("invoiceitem.created", "invoiceitem"),
            ("subscription_schedule.updated", "subscription_schedule"),
            ("radar.early_fraud_warning.created", "radar.early_fraud_warning"),
        ]
    )
    people.make_noise(stage.account, event_type, kind)


def _goods(random: Random, *, ancient: bool) -> subscribing.Goods:
    if ancient:
        return [(random.choice([offers.BASIC, offers.PRO, offers.TEAM]), random.choice([1, 2]))]
    offer = random.choice(
        [*offers.RECURRING, offers.BASIC, offers.PRO, offers.TEAM, offers.FREE, offers.UNKNOWN]
    )
    quantity = None if offer is offers.METERED else random.choice([1, 1, 1, 2, 5])
    goods: list[tuple[offers.StripePrice, int | None]] = [(offer, quantity)]
    if happens(random, 0.25):
        extra = random.choice([offers.ADDON, offers.TEAM, offers.FREE])
        if extra.price != offer.price:
            goods.append((extra, random.choice([1, 3])))
    return goods


@action
def subscribe(stage: Stage, random: Random) -> None:
    """Subscribe, by a checkout or without one, with a trial or one-time lines or neither."""
    customer = stage.customer(random)
    if customer is None:
        return
    user = stage.user_of(random, customer)
    goods = _goods(random, ancient=stage.account.ancient)
    metadata = dict(stage.metadata(random, customer, user))
    if goods[0][0] is offers.UNKNOWN and happens(random, 0.5):
        metadata["plan_code"] = "pro"
    names = stage.names(random, customer, user, {"price_id": goods[0][0].price}, None)
    once = random.choices(
        [(), (offers.LIFETIME,), (offers.SETUP,), (offers.CONSULTING,)], weights=[6, 2, 1, 1]
    )[0]
    subscribing.subscribe(
        stage.account,
        customer,
        goods,
        metadata=metadata,
        checkout=names if happens(random, 0.6) else None,
        once=once if not stage.account.ancient else (),
        trial=random.choice([0, 0, 0, 14 * DAY]),
        pays=happens(random, 0.9),
        within=random.choice([0, 2, 2, 2]),
    )


def _may_renew(stage: Stage, held: Subscription) -> bool:
    bill_open = any(
        each.status == "open" and each.subscription == held.id for each in stage.account.of(Invoice)
    )
    ending = held.cancel_at is not None or held.cancel_at_period_end
    return not bill_open and not ending and not held.paused


@action
def renew(stage: Stage, random: Random) -> None:
    """Start a subscription's next period."""
    held = stage.pick(random, Subscription, status=("active", "trialing"))
    if held is not None and _may_renew(stage, held):
        subscribing.renew(stage.account, held, outcome=random.choice(["paid", "paid", "failed"]))


@action
def fail_again(stage: Stage, random: Random) -> None:
    """Decline the open invoice of a past due subscription once more."""
    held = stage.pick(random, Subscription, status="past_due")
    if held is not None and held.latest_invoice:
        invoice = stage.account.get(Invoice, held.latest_invoice)
        if invoice.status == "open":
            stage.account.wait(random.randrange(1, 3) * DAY)
            billing.refuse(stage.account, invoice)


@action
def recover(stage: Stage, random: Random) -> None:
    """Pay the open invoice of a past due or unpaid subscription."""
    held = stage.pick(random, Subscription, status=("past_due", "unpaid"))
    if held is None or held.latest_invoice is None:
        return
    if stage.account.get(Invoice, held.latest_invoice).status == "open":
        subscribing.recover(stage.account, held)


@action
def give_up(stage: Stage, random: Random) -> None:
    """End dunning: the subscription becomes unpaid or is cancelled."""
    held = stage.pick(random, Subscription, status="past_due")
    if held is None:
        return
    stage.account.wait(DAY)
    if happens(random, 0.5):
        subscribing.update(stage.account, held, status="unpaid")
    else:
        subscribing.cancel(stage.account, held)


@action
def switch_price(stage: Stage, random: Random) -> None:
    """Put an item on another price or quantity; the difference is billed or not."""
    held = stage.pick(random, Subscription, status=RUNNING)
    if held is None:
        return
    first = held.items[0]
    known = [offers.BASIC, offers.PRO, offers.TEAM]
    sold = known if stage.account.ancient else [*offers.RECURRING, offers.UNKNOWN, first.offer]
    offer = random.choice(sold)
    quantity = None if offer is offers.METERED else random.choice([1, 1, 2, 4])
    if happens(random, 0.15) and first.offer.lookup_key:
        offer, quantity = first.offer, first.quantity
    item = replace(first, offer=offer, quantity=quantity)
    subscribing.change_items(
        stage.account,
        held,
        [item, *held.items[1:]],
        billed=held.status == "active" and happens(random, 0.5),
    )


@action
def transfer_key(stage: Stage, random: Random) -> None:
    """Let another price take over the lookup key of a subscription's price."""
    held = stage.pick(random, Subscription, status=RUNNING)
    if held is not None and held.items[0].offer.lookup_key:
        bare = replace(held.items[0].offer, lookup_key=None)
        item = replace(held.items[0], offer=bare)
        subscribing.update(stage.account, held, items=(item, *held.items[1:]))


@action
def add_item(stage: Stage, random: Random) -> None:
    """Add an item, or enough of them that events show the first ten only."""
    held = stage.pick(random, Subscription, status=("active", "trialing"))
    if held is None or stage.account.ancient:
        return
    account = stage.account
    if happens(random, 0.5):
        offer = random.choice([offers.ADDON, offers.TEAM, offers.FREE])
        items = [*held.items, subscribing.new_item(account, held, offer)]
    else:
        regions = [
            offers.StripePrice(price=f"price_region_{number}", product="prod_region", amount=10)
            for number in range(10)
        ]
        many = [subscribing.new_item(account, held, region) for region in regions]
        items = [*many, *held.items]
    subscribing.change_items(account, held, items)


@action
def remove_item(stage: Stage, random: Random) -> None:
    """Take the last item off a subscription of several."""
    held = stage.pick(random, Subscription, status=RUNNING)
    if held is not None and len(held.items) > 1:
        subscribing.change_items(stage.account, held, held.items[:-1])


@action
def cancel(stage: Stage, random: Random) -> None:
    """End a subscription now."""
    held = stage.pick(random, Subscription, status=(*RUNNING, "unpaid", "incomplete"))
    if held is not None:
        subscribing.cancel(stage.account, held)


@action
def cancel_at_period_end(stage: Stage, random: Random) -> None:
    """Have a subscription end with its period."""
    held = stage.pick(random, Subscription, status=("active", "trialing"))
    if held is not None:
        subscribing.cancel_at_period_end(
            stage.account,
            held,
            names_day=happens(random, 0.5),
        )


@action
def resume(stage: Stage, random: Random) -> None:
    """Take back a cancellation, or resume collection."""
    held = stage.pick(random, Subscription, status=("active", "trialing"))
    if held is not None:
        subscribing.update(
            stage.account,
            held,
            cancel_at=None,
            cancel_at_period_end=False,
            canceled_at=None,
            paused=False,
            resumes_at=None,
        )


@action
def pause_collection(stage: Stage, random: Random) -> None:
    """Pause collection, for some days or until it is resumed."""
    held = stage.pick(random, Subscription, status=("active",))
    if held is not None:
        subscribing.pause_collection(stage.account, held, days=random.choice([None, 3, 30]))


@action
def pause(stage: Stage, random: Random) -> None:
    """Pause a subscription itself."""
    held = stage.pick(random, Subscription, status=("active",))
    if held is not None and not stage.account.ancient:
        account = stage.account
        account.wait(3)
        changed = replace(held, status="paused")
        account.emit("customer.subscription.updated", changed, before=held)
        account.emit("customer.subscription.paused", changed)


@action
def touch(stage: Stage, random: Random) -> None:
    """Change a subscription in a way that means nothing, twice within a second."""
    held = stage.pick(random, Subscription, status=RUNNING)
    if held is not None:
        held = subscribing.update(stage.account, held, description=f"{random.random()}")
        stage.account.change(
            subscribing.UPDATED, held, description=f"{random.random()}", schedule="sub_sched_1"
        )


@action
def change_within_a_second(stage: Stage, random: Random) -> None:
    """Change quantity and status within one second, so that only the chain orders them."""
    held = stage.pick(random, Subscription, status=("active",))
    if held is None or held.items[0].quantity is None:
        return
    more = replace(held.items[0], quantity=held.items[0].quantity + 1)
    held = subscribing.update(stage.account, held, items=(more, *held.items[1:]))
    most = replace(more, quantity=(more.quantity or 0) + 1)
    stage.account.change(subscribing.UPDATED, held, items=(most, *held.items[1:]))


def _names_of_goods(random: Random, offer: offers.StripePrice) -> tuple[Metadata, str | None]:
    """Return metadata that names what is bought, and the payment link if there is one."""
    code = {"price_lifetime": "lifetime", "price_day": "day_pass"}.get(offer.price)
    ways: list[tuple[Metadata, str | None]] = [({"price_id": offer.price}, None)] * 3
    if code:
        ways.append(({"plan_code": code}, None))
    if code == "lifetime":
        ways += [({"plan_code": "gold-2026"}, offers.PAYMENT_LINK)] * 2
        ways.append(({}, offers.PAYMENT_LINK))
    if offer is offers.RETIRED:
        ways.append(({"plan_code": "retired"}, offers.PAYMENT_LINK))
    return random.choice(ways)


def _once(random: Random) -> offers.StripePrice:
    return random.choice(
        [*offers.ONCE, offers.LIFETIME, offers.DAY_PASS, offers.CONSULTING, offers.RETIRED]
    )


@action
def check_out(stage: Stage, random: Random) -> None:
    """Buy something once by a checkout."""
    customer = stage.customer(random)
    if customer is None or stage.account.ancient:
        return
    user = stage.user_of(random, customer)
    offer = _once(random)
    goods, link = _names_of_goods(random, offer)
    names = stage.names(random, customer, user, goods, link)
    capture = random.choices(["automatic", "manual", "delayed", "free"], weights=[5, 3, 3, 1])[0]
    lines: list[InvoiceLine] = []
    if capture == "automatic" and happens(random, 0.25):
        lines = [billing.once_line(stage.account, offer)]
    buying.check_out(stage.account, customer, offer.amount, names, capture=capture, lines=lines)


@action
def check_out_as_guest(stage: Stage, random: Random) -> None:
    """Buy something once by a checkout that makes no customer."""
    if not stage.account.ancient:
        user = random.choice(stage.users)
        goods, _ = _names_of_goods(random, offers.LIFETIME)
        names = subscribing.Names(reference=user, metadata=goods)
        if happens(random, 0.5):
            names = subscribing.Names(metadata={**goods, **stage.named_by_key(random, user)})
        if "price_id" in goods or "plan_code" in goods:
            buying.check_out(stage.account, None, offers.LIFETIME.amount, names)


@action
def capture(stage: Stage, random: Random) -> None:
    """Capture an authorised payment: all of it, a part, or in parts; or let it expire."""
    intent = stage.pick(random, Intent, status="requires_capture")
    if intent is None:
        return
    if happens(random, 0.2):
        buying.let_expire(stage.account, intent)
        return
    part = intent.amount * 4 // 5
    parts = random.choice([[intent.amount], [part], [part // 2, part // 4]])
    buying.capture_part(stage.account, intent, parts)


@action
def decide_debit(stage: Stage, random: Random) -> None:
    """Let a delayed payment succeed, fail, or succeed and be returned."""
    intent = stage.pick(random, Intent, status="processing")
    if intent is None:
        return
    session = next(each for each in stage.account.of(Session) if each.intent == intent.id)
    if happens(random, 0.3):
        buying.fail_debit(stage.account, session)
        return
    charge = buying.settle_debit(stage.account, session)
    if happens(random, 0.5):
        buying.return_debit(stage.account, charge)


@action
def expire_session(stage: Stage, random: Random) -> None:
    """Let a checkout expire."""
    customer = stage.customer(random)
    if customer is not None and stage.named[customer.id][0] == "customer":
        names = subscribing.Names(metadata={"price_id": offers.LIFETIME.price})
        buying.expire(stage.account, customer, offers.LIFETIME.amount, names)


@action
def set_up(stage: Stage, random: Random) -> None:
    """Save a card by a checkout."""
    customer = stage.customer(random)
    if customer is not None and stage.named[customer.id][0] == "customer":
        buying.set_up(stage.account, customer, subscribing.Names())


@action
def pay_directly(stage: Stage, random: Random) -> None:
    """Pay by an intent, or a charge without one, that names what it buys."""
    customer = stage.customer(random)
    if customer is None:
        return
    style, _ = stage.named[customer.id]
    user = stage.user_of(random, customer)
    offer = random.choice([offers.LIFETIME, offers.DAY_PASS, offers.BASIC, offers.CONSULTING])
    metadata = {"price_id": offer.price, **stage.metadata(random, customer, user)}
    if stage.account.ancient or (happens(random, 0.3) and style == "customer"):
        buying.charge_directly(stage.account, customer, offer.amount, metadata)
        return
    how = random.choice(["automatic", "automatic", "manual"])
    currency = random.choice(["usd", "usd", "eur", "ugx", "jpy"])
    buying.pay_directly(
        stage.account, customer, offer.amount, metadata, capture=how, currency=currency
    )


@action
def invoice_once(stage: Stage, random: Random) -> None:
    """Bill something by a one-off invoice."""
    customer = stage.customer(random)
    if customer is None:
        return
    account = stage.account
    user = stage.user_of(random, customer)
    lines = []
    for offer in random.sample([*offers.ONCE, offers.CONSULTING], random.choice([1, 1, 2])):
        quantity = random.choice([1, 1, 3]) if offer is not offers.LIFETIME else 1
        lasts = 365 * DAY if offer is offers.YEAR_ONCE else 0
        off = offer.amount // 4 if happens(random, 0.2) else 0
        lines.append(
            billing.once_line(account, offer, quantity=quantity, lasts=lasts, discount=off)
        )
    total = sum(line.amount - line.discount for line in lines)
    buying.invoice_once(
        account,
        customer,
        lines,
        metadata=_stated_on_invoice(stage, stage.metadata(random, customer, user), lines),
        how=random.choices(["card", "out_of_band", "open", "void"], weights=[6, 2, 1, 1])[0],
        declines=random.choice([0, 0, 1]),
        balance=random.choice([0, 0, 0, total // 2, total]),
    )


def _stated_on_invoice(stage: Stage, metadata: Metadata, lines: list[InvoiceLine]) -> Metadata:
    """Return the metadata of an invoice, which names the goods where its lines could not."""
    return {**metadata, "price_id": lines[0].offer.price} if stage.account.ancient else metadata


@action
def invoice_leftovers(stage: Stage, random: Random) -> None:
    """Bill consulting together with the credit that a cancelled subscription left."""
    held = stage.pick(random, Subscription, status="canceled")
    if held is None or held.items[0].offer.amount == 0:
        return
    account = stage.account
    customer = account.get(Customer, held.customer)
    lines = [
        subscribing.credit_unused_time(account, held),
        billing.once_line(account, offers.CONSULTING),
    ]
    buying.invoice_once(account, customer, lines)


def charge_of_intent(stage: Stage, intent: Intent) -> Charge:
    """Return the newest attempt of a payment."""
    known = stage.account.get(Intent, intent.id)
    return stage.account.get(Charge, known.latest_charge)


def _charge(stage: Stage, random: Random) -> Charge | None:
    charge = stage.pick(random, Charge, status="succeeded", captured=True)
    if charge is None or charge.amount_captured == 0:
        return None
    intent = stage.account.records.get(charge.intent or "")
    waiting = isinstance(intent, Intent) and intent.status != "succeeded"
    return None if waiting else charge


def _is_credited(stage: Stage, charge: Charge) -> bool:
    notes = {each.invoice for each in stage.account.of(CreditNote)}
    return any(
        each.intent == charge.intent or each.charge == charge.id
        for each in stage.account.of(Invoice)
        if each.id in notes
    )


@action
def refund(stage: Stage, random: Random) -> None:
    """Give back a payment, or a part of it."""
    charge = _charge(stage, random)
    if charge is None or _is_credited(stage, charge):
        return
    left = charge.amount_captured - sum(each.amount for each in charge.refunds)
    amount = random.choice([left, left, left // 3])
    if amount > 0:
        status = "succeeded" if stage.account.ancient else random.choice(["succeeded", "pending"])
        buying.refund(stage.account, charge, amount, status=status)


@action
def end_refund(stage: Stage, random: Random) -> None:
    """Decide a refund; a bank may fail one that had succeeded."""
    back = stage.pick(random, Refund, status=("pending", "succeeded"))
    if back is None or stage.account.ancient:
        return
    ways = ["failed"] if back.status == "succeeded" else ["succeeded", "failed", "canceled"]
    buying.end_refund(stage.account, back, random.choice(ways))


@action
def dispute(stage: Stage, random: Random) -> None:
    """Dispute a payment, or a part of it."""
    charge = _charge(stage, random)
    if charge is None or charge.refunds:
        return
    status = random.choices(
        ["needs_response", "warning_needs_response", "prevented", "lost"], weights=[5, 1, 1, 1]
    )[0]
    amount = charge.amount_captured // 3 if happens(random, 0.3) else None
    buying.dispute(stage.account, charge, amount=amount, status=status)


@action
def end_dispute(stage: Stage, random: Random) -> None:
    """Decide a dispute; a lost one may be won by an appeal."""
    opened = stage.pick(
        random, Dispute, status=("needs_response", "warning_needs_response", "lost")
    )
    if opened is None:
        return
    ways = {"needs_response": ["won", "lost", "lost"], "lost": ["won"]}
    status = random.choice(ways.get(opened.status, ["warning_closed"]))
    buying.end_dispute(stage.account, opened, status)


@action
def credit(stage: Stage, random: Random) -> None:
    """Credit a paid one-off invoice: a line of it, a part of a line, or an amount."""
    invoice = stage.pick(random, Invoice, status="paid", reason="manual")
    if invoice is None or invoice.balance or stage.account.ancient:
        return
    if not (invoice.intent or invoice.out_of_band):
        return
    if invoice.charge and stage.account.get(Charge, invoice.charge).refunds:
        return
    if any(each.invoice == invoice.id for each in stage.account.of(CreditNote)):
        return
    if any(line.proration for line in invoice.lines):
        return
    line = random.choice(invoice.lines)
    ways: list[tuple[tuple[tuple[str, int], ...], int]] = [
        (((line.id, line.amount - line.discount),), 0),
        (((line.id, line.amount // 3),), 0),
        ((), invoice.total),
        ((), invoice.total // 4),
    ]
    lines, amount = random.choice(ways)
    if line.discount and lines:
        return
    back_to = random.choice(["balance", "out_of_band", "card"])
    if invoice.out_of_band and back_to == "card":
        back_to = "out_of_band"
    buying.credit(stage.account, invoice, lines=lines, amount=amount, back_to=back_to)


@action
def void_note(stage: Stage, random: Random) -> None:
    """Take a credit note back."""
    note = stage.pick(random, CreditNote, status="issued")
    if note is not None and note.balance:
        buying.void_note(stage.account, note)
