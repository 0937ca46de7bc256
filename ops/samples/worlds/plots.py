"""Short stories in which a rare rule decides; random actions alone would seldom tell them."""

from dataclasses import replace
from random import Random

from ops.samples.api_shapes import Shape
from ops.samples.scenario import DAY
from ops.samples.worlds import offers
from ops.samples.worlds.actions import ACTIONS, Action, charge_of_intent
from ops.samples.worlds.records import Charge, Customer, Intent, Invoice, Session, Subscription
from ops.samples.worlds.stage import Stage, happens
from ops.samples.worlds.steps import billing, buying, people, subscribing
from ops.samples.worlds.steps.subscribing import Names

PLOTS: dict[str, Action] = {}


def plot(play: Action) -> Action:
    """Register a plot, which is an action like any other."""
    PLOTS[play.__name__] = play
    ACTIONS[play.__name__] = play
    return play


def _customer(stage: Stage, random: Random) -> tuple[Customer, str]:
    """Return a new customer and the user for whom it pays."""
    ACTIONS["arrive"](stage, random)
    customer = list(stage.account.of(Customer))[-1]
    return customer, stage.named[customer.id][1]


def _subscribed(
    stage: Stage, random: Random, price: offers.StripePrice, quantity: int | None = 1
) -> Subscription:
    customer, user = _customer(stage, random)
    return subscribing.subscribe(
        stage.account,
        customer,
        [(price, quantity)],
        metadata=stage.metadata(random, customer, user),
        checkout=stage.names(random, customer, user, {"price_id": price.price}, None)
        if happens(random, 0.5)
        else None,
    )


def _bought(stage: Stage, random: Random, *, capture: str = "automatic") -> Intent | None:
    if stage.account.ancient:
        return None
    customer, user = _customer(stage, random)
    names = stage.names(random, customer, user, {"price_id": "price_lifetime"}, None)
    session = buying.check_out(stage.account, customer, 4900, names, capture=capture)
    return stage.account.get(Intent, session.intent)


@plot
def key_moves_on(stage: Stage, random: Random) -> None:
    """Let another price take over the lookup key of a subscriber's price."""
    if stage.account.ancient:
        return
    held = _subscribed(stage, random, offers.PRO_BY_KEY)
    stage.account.wait(3 * DAY)
    bare = replace(held.items[0].offer, lookup_key=None)
    subscribing.update(stage.account, held, items=(replace(held.items[0], offer=bare),))


@plot
def switch_to_unknown_price(stage: Stage, random: Random) -> None:
    """Put a subscriber on a price that no plan has."""
    known = random.choice([offers.BASIC, offers.PRO, offers.TEAM])
    held = _subscribed(stage, random, known, random.choice([1, 3]))
    stage.account.wait(2 * DAY)
    item = replace(held.items[0], offer=offers.UNKNOWN)
    subscribing.change_items(stage.account, held, [item])


@plot
def upgrade_while_past_due(stage: Stage, random: Random) -> None:
    """Decline a renewal, then change to something that was not paid for."""
    price = random.choice([offers.BASIC, offers.TEAM])
    held = _subscribed(stage, random, price, 3 if price is offers.TEAM else 1)
    held = subscribing.renew(stage.account, held, outcome="failed")
    if held.status != "past_due":
        return
    stage.account.wait(random.choice([200, DAY]))
    if price is offers.TEAM:
        item = replace(held.items[0], quantity=random.choice([1, 2, 9]))
        subscribing.change_items(stage.account, held, [item])
    else:
        item = replace(held.items[0], offer=random.choice([offers.PRO, offers.TEAM]))
        subscribing.change_items(stage.account, held, [item])
    if happens(random, 0.3):
        ACTIONS["fail_again"](stage, random)


@plot
def buy_passes(stage: Stage, random: Random) -> None:
    """Buy several day passes, some before the last has ended."""
    customer, user = _customer(stage, random)
    if stage.account.ancient:
        return
    for _ in range(random.choice([2, 3])):
        goods = {"price_id": "price_day"}
        if happens(random, 0.5):
            names = stage.names(random, customer, user, goods, None)
            buying.check_out(stage.account, customer, offers.DAY_PASS.amount, names)
        else:
            line = billing.once_line(stage.account, offers.DAY_PASS, quantity=random.choice([1, 2]))
            metadata = stage.metadata(random, customer, user)
            buying.invoice_once(stage.account, customer, [line], metadata=metadata)
        stage.account.wait(random.choice([600, 5000, 2 * DAY]))


@plot
def pay_beside_subscription(stage: Stage, random: Random) -> None:
    """Pay by an intent that names the plan of a running or ended subscription."""
    held = _subscribed(stage, random, offers.BASIC)
    if stage.account.ancient:
        return
    stage.account.wait(DAY)
    if happens(random, 0.3):
        subscribing.cancel(stage.account, held)
    customer = stage.account.get(Customer, held.customer)
    metadata = {"price_id": offers.BASIC.price, **held.metadata}
    buying.pay_directly(stage.account, customer, 1000, metadata)


@plot
def invoice_leftover_credit(stage: Stage, random: Random) -> None:
    """Bill the credit of a cancelled subscription together with something else."""
    held = _subscribed(stage, random, random.choice([offers.BASIC, offers.PRO]))
    account = stage.account
    account.wait(4 * DAY)
    subscribing.cancel(account, held)
    other = random.choice([offers.CONSULTING, offers.LIFETIME])
    lines = [
        subscribing.credit_unused_time(account, held),
        billing.once_line(account, other),
    ]
    buying.invoice_once(
        account, account.get(Customer, held.customer), lines, metadata=held.metadata
    )


@plot
def dispute_purchase(stage: Stage, random: Random) -> None:
    """Dispute a purchase or a part of it, and decide; a lost one may be won later."""
    intent = _bought(stage, random)
    if intent is None:
        return
    charge = charge_of_intent(stage, intent)
    amount = random.choice([None, 900, 900])
    opened = buying.dispute(stage.account, charge, amount=amount, status="needs_response")
    status = random.choice(["lost", "lost", "won"])
    opened = buying.end_dispute(stage.account, opened, status)
    if status == "lost" and happens(random, 0.2):
        buying.end_dispute(stage.account, opened, "won")


@plot
def capture_in_part(stage: Stage, random: Random) -> None:
    """Authorise a purchase and capture less, at once or in parts."""
    intent = _bought(stage, random, capture="manual")
    if intent is not None:
        stage.account.wait(random.choice([200, DAY]))
        charge = buying.capture_part(
            stage.account, intent, random.choice([[4000], [2000, 1000], [4900]])
        )
        if happens(random, 0.3):
            buying.refund(stage.account, charge, random.choice([1000, charge.amount_captured]))


@plot
def debit_comes_back(stage: Stage, random: Random) -> None:
    """Pay by a debit that succeeds and is returned by the bank, or not."""
    intent = _bought(stage, random, capture="delayed")
    if intent is None:
        return
    session = next(each for each in stage.account.of(Session) if each.intent == intent.id)
    charge = buying.settle_debit(stage.account, session)
    if happens(random, 0.7):
        buying.return_debit(stage.account, charge)


@plot
def share_a_customer(stage: Stage, random: Random) -> None:
    """Let two users buy under one customer, then something that names none."""
    account = stage.account
    customer = people.arrive(account, clock=stage.clocked)
    first, second = random.choice(stage.users), random.choice(stage.users)
    stage.named[customer.id] = ("objects", first)
    goods = {"price_id": "price_lifetime", "user_id": first}
    if account.ancient:
        subscribing.subscribe(account, customer, [(offers.BASIC, 1)], metadata={"user_id": first})
    else:
        buying.check_out(account, customer, 4900, Names(metadata=goods))
    if happens(random, 0.5):
        subscribing.subscribe(account, customer, [(offers.ADDON, 1)])
    account.wait(DAY)
    subscribing.subscribe(account, customer, [(offers.BASIC, 1)], metadata={"user_id": second})
    account.wait(DAY)
    subscribing.subscribe(account, customer, [(offers.PRO, 1)])


@plot
def hand_over(stage: Stage, random: Random) -> None:
    """Move a customer to another user, once or twice, after two users bought under it."""
    account = stage.account
    owner, buyer = random.choice(stage.users), random.choice(stage.users)
    successor = random.choice(stage.users)
    named = stage.named_by_key(random, owner)
    customer = people.arrive(account, metadata=named, clock=stage.clocked)
    stage.named[customer.id] = ("customer", owner)
    stated = stage.named_by_key(random, owner) if happens(random, 0.6) else {}
    subscribing.subscribe(account, customer, [(offers.BASIC, 1)], metadata=stated)
    account.wait(DAY)
    metadata = {"price_id": "price_lifetime", **stage.named_by_key(random, buyer)}
    buying.pay_directly(account, customer, 4900, metadata) if not account.ancient else None
    account.wait(DAY)
    if successor != owner:
        people.name_user(account, customer, successor)
        stage.named[customer.id] = ("customer", successor)
    account.wait(DAY)
    if happens(random, 0.5):
        later = stage.named_by_key(random, random.choice([owner, successor]))
        subscribing.subscribe(account, customer, [(offers.ADDON, 1)], metadata=later)


@plot
def credit_invoice(stage: Stage, random: Random) -> None:
    """Credit a one-off invoice of two lines, and perhaps take the note back."""
    account = stage.account
    customer, user = _customer(stage, random)
    if account.ancient:
        return
    lines = [
        billing.once_line(account, offers.LIFETIME),
        billing.once_line(account, offers.TEAM_ONCE, quantity=3),
    ]
    invoice = buying.invoice_once(
        account, customer, lines, metadata=stage.metadata(random, customer, user)
    )
    line = random.choice(lines)
    back_to = random.choice(["balance", "balance", "balance", "out_of_band", "card"])
    credited = random.choice([((line.id, line.amount),), ((line.id, line.amount // 2),), ()])
    amount = random.choice([invoice.total, invoice.total // 4])
    note = buying.credit(account, invoice, lines=credited, amount=amount, back_to=back_to)
    if note.balance and happens(random, 0.85):
        buying.void_note(account, note)


@plot
def buy_by_payment_link(stage: Stage, random: Random) -> None:
    """Buy by a payment link, whose reference the buyer may have written."""
    account = stage.account
    if account.ancient:
        return
    customer = people.arrive(account, clock=stage.clocked)
    user = random.choice(stage.users)
    stage.named[customer.id] = ("nowhere", user)
    metadata = random.choice([{}, {"plan_code": "gold-2026"}, {"price_id": "price_of_the_shop"}])
    names = Names(reference=user, metadata=metadata, payment_link=offers.PAYMENT_LINK)
    buying.check_out(account, customer, 4900, names)
    account.wait(DAY)
    subscribing.subscribe(account, customer, [(offers.BASIC, 1)])


@plot
def give_period_back(stage: Stage, random: Random) -> None:
    """Refund or dispute the newest period of a subscription; a later one may be paid."""
    held = _subscribed(stage, random, random.choice([offers.BASIC, offers.PRO]))
    account = stage.account
    charges = [
        each
        for each in account.of(Charge)
        if each.invoice == held.latest_invoice and each.status == "succeeded"
    ]
    if not charges:
        return
    charge = charges[-1]
    account.wait(DAY)
    if happens(random, 0.6):
        buying.refund(account, charge, random.choice([charge.amount, charge.amount // 2]))
    else:
        opened = buying.dispute(account, charge, status="needs_response")
        if happens(random, 0.6):
            buying.end_dispute(account, opened, random.choice(["lost", "won"]))
    if happens(random, 0.4) and subscribing.newest(account, held).status == "active":
        subscribing.renew(account, held)


@plot
def pay_in_parts(stage: Stage, random: Random) -> None:
    """Pay one invoice by two payments."""
    customer, user = _customer(stage, random)
    if not stage.account.release.knows("invoice_payment.paid"):
        return
    lines = [billing.once_line(stage.account, offers.LIFETIME)]
    metadata = stage.metadata(random, customer, user)
    buying.invoice_in_parts(stage.account, customer, lines, [3000, 1900], metadata=metadata)


@plot
def pay_what_was_given_up(stage: Stage, random: Random) -> None:
    """Pay an invoice that was marked as uncollectible."""
    customer, user = _customer(stage, random)
    account = stage.account
    invoice = buying.invoice_once(
        account,
        customer,
        [billing.once_line(account, offers.LIFETIME)],
        metadata=stage.metadata(random, customer, user),
        how="open",
        declines=1,
    )
    account.wait(DAY)
    account.change("invoice.marked_uncollectible", invoice, status="uncollectible")
    account.wait(DAY)
    charge = billing.collect(account, account.get(Invoice, invoice.id))
    if charge is not None and happens(random, 0.5):
        account.wait(20 * DAY)
        buying.refund(account, charge, charge.amount)


@plot
def expire_incomplete(stage: Stage, random: Random) -> None:
    """Let a subscription's first payment fail for good, or send a status of the future."""
    customer, user = _customer(stage, random)
    account = stage.account
    if account.ancient:
        return
    metadata = stage.metadata(random, customer, user)
    held = subscribing.subscribe(
        account, customer, [(offers.BASIC, 1)], metadata=metadata, pays=False
    )
    account.wait(DAY)
    status = random.choice(["incomplete_expired", "incomplete_expired", "awaiting_verification"])
    subscribing.update(account, held, status=status)


@plot
def end_in_one_second(stage: Stage, random: Random) -> None:
    """Change a subscription and end it within one second."""
    held = _subscribed(stage, random, random.choice([offers.BASIC, offers.PRO]))
    stage.account.wait(DAY)
    held = subscribing.update(stage.account, held, description="on its way out")
    subscribing.cancel(stage.account, held, wait=0)


@plot
def check_out_seats(stage: Stage, random: Random) -> None:
    """Sell seats by a checkout; where no snapshot is heard, its invoice alone says how many."""
    if stage.account.ancient:
        return
    customer, user = _customer(stage, random)
    goods = random.choice([{"price_id": offers.TEAM.price}, {}])
    subscribing.subscribe(
        stage.account,
        customer,
        [(offers.TEAM, random.choice([2, 3, 5]))],
        metadata=stage.metadata(random, customer, user),
        checkout=stage.names(random, customer, user, goods, None),
    )


@plot
def change_seats_back_and_forth(stage: Stage, random: Random) -> None:
    """Change the seats of a subscription several times within one second."""
    held = _subscribed(stage, random, offers.TEAM, 3)
    stage.account.wait(DAY)
    (item,) = held.items
    held = subscribing.update(stage.account, held, items=(replace(item, quantity=5),))
    for quantity in random.choice([[4, 6], [1, 3], [6, 2, 7]]):
        items = (replace(item, quantity=quantity),)
        held = stage.account.change(subscribing.UPDATED, held, items=items)


@plot
def subscribe_silently(stage: Stage, random: Random) -> None:
    """Subscribe where the subscription alone names the user, and its invoices copy that."""
    account = stage.account
    customer = people.arrive(account, clock=stage.clocked)
    user = random.choice(stage.users)
    stage.named[customer.id] = ("objects", user)
    once = (offers.LIFETIME,) if happens(random, 0.3) and not account.ancient else ()
    held = subscribing.subscribe(
        account,
        customer,
        [(offers.PRO, 1)],
        metadata=stage.named_by_key(random, user),
        once=once,
    )
    if happens(random, 0.5):
        subscribing.renew(account, held)
    if happens(random, 0.7):
        others = [each for each in stage.users if each != user] or [user]
        metadata = stage.named_by_key(random, random.choice(others))
        subscribing.update(account, held, metadata=metadata)


@plot
def name_goods_on_intent(stage: Stage, random: Random) -> None:
    """Have the application write a plan on the intent of a subscription's first invoice."""
    if stage.account.ancient:
        return
    customer, user = _customer(stage, random)
    held = subscribing.subscribe(
        stage.account,
        customer,
        [(offers.BASIC, 1)],
        metadata=stage.metadata(random, customer, user),
        goods_on_intent=random.choice([offers.BASIC, offers.PRO, offers.LIFETIME]).price,
    )
    if happens(random, 0.7):
        stage.account.wait(2 * DAY)
        subscribing.cancel(stage.account, held)


@plot
def delete_after_purchase(stage: Stage, random: Random) -> None:
    """Delete a customer who bought something for good."""
    account = stage.account
    if account.ancient:
        return
    customer, user = _customer(stage, random)
    goods = {"price_id": "price_lifetime"}
    names = stage.names(random, customer, user, goods, None)
    if stage.named[customer.id][0] == "customer" and happens(random, 0.7):
        names = Names(metadata=goods)  # the customer alone says whose it is
    buying.check_out(account, customer, 4900, names)
    if not customer.test_clock:
        people.delete_customer(account, customer)


@plot
def cancel_plans(stage: Stage, random: Random) -> None:
    """Have a subscription of items with different periods end with its period."""
    held = _subscribed(stage, random, random.choice([offers.BASIC, offers.BASIC_YEAR]))
    account = stage.account
    if not account.ancient and account.release.shape is not Shape.OLD:
        longer = replace(
            subscribing.new_item(account, held, random.choice([offers.ADDON, offers.UNKNOWN])),
            end=held.items[0].end + 40 * DAY,
        )
        subscribing.change_items(account, held, [*held.items, longer])
    subscribing.cancel_at_period_end(account, held, names_day=happens(random, 0.4))


@plot
def name_goods_in_metadata(stage: Stage, random: Random) -> None:
    """Sell by a price of the moment, and name the plan in metadata."""
    customer, user = _customer(stage, random)
    account = stage.account
    stated = stage.metadata(random, customer, user)
    code = random.choice(["lifetime", "pro", "retired", "gold-2026"])
    if happens(random, 0.5):
        line = billing.once_line(account, replace(offers.UNKNOWN, interval=None))
        metadata = {**stated, "plan_code": code}
        buying.invoice_once(account, customer, [line], metadata=metadata)
    elif not account.ancient:
        subscribing.subscribe(
            account, customer, [(offers.UNKNOWN, 1)], metadata={**stated, "plan_code": code}
        )


@plot
def correct_a_link(stage: Stage, random: Random) -> None:
    """Link a subscription to one user and then to another, and perhaps take a link back."""
    account = stage.account
    held = _subscribed(stage, random, random.choice([offers.BASIC, offers.TEAM]))
    for user in random.sample(stage.users, min(2, len(stage.users))):
        account.wait(random.choice([0, DAY]))
        people.link_by_hand(account, held.id, user)
    if happens(random, 0.3):
        people.end_link(account, random.choice([account.linked[-1], account.linked[-2:][0]]))


@plot
def outlive_a_subscription(stage: Stage, random: Random) -> None:
    """Give what a subscriber has already, then cancel or refund the subscription."""
    account = stage.account
    held = _subscribed(stage, random, offers.PRO)
    user = stage.named[held.customer][1]
    for code in random.choice([["pro"], ["pro", "team"]]):
        features, per_seat = offers.given_features(code)
        people.grant_by_hand(
            account, user, plan=code, features=features, per_seat=per_seat, lasts=120 * DAY
        )
    account.wait(DAY)
    ACTIONS[random.choice(["refund", "dispute", "renew"])](stage, random)
    subscribing.cancel(account, held)
