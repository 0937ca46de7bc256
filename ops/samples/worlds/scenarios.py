"""Named histories that went wrong for other people's customers, each with its true end.

Each is played by the simulator's own steps. ``SCENARIOS`` has one for every kind of public report
that Paidup was held against.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from ops.samples.scenario import DAY
from ops.samples.worlds import offers
from ops.samples.worlds.account import StripeAccount
from ops.samples.worlds.endpoints import WorldEndpoint
from ops.samples.worlds.records import Charge, Customer, Intent, Subscription
from ops.samples.worlds.releases import ApiRelease
from ops.samples.worlds.steps import billing, buying, people, subscribing
from ops.samples.worlds.steps.subscribing import Names
from ops.samples.worlds.truth.shop import Feature
from ops.samples.worlds.world import BARE_CHARGES, START, World, WorldPlan, ended

BUYER = "buyer"
COLLEAGUE = "colleague"
SUCCESSOR = "successor"
BASIC: Mapping[str, Feature] = {"basic": True, "max_devices": 2}
PRO: Mapping[str, Feature] = {"basic": True, "pro": True, "max_devices": 10}
LIFETIME: Mapping[str, Feature] = {"lifetime": True}


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedScenario:
    """One history: how it is played, and what must come out for each user."""

    play: Callable[[StripeAccount], object]
    features: Mapping[str, Mapping[str, Feature]]
    paid: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    """Received and given back, by user."""
    policy: Mapping[str, str] = field(default_factory=dict)
    release: ApiRelease = ApiRelease.CLOVER
    hears: str = "everything"
    names_unsold: str | None = None
    """The price that ``explain`` must name since no plan has it."""
    waits: int = 2 * DAY
    clocked: bool = False


def play_scenario(name: str) -> World:
    """Return the world of a named scenario.

    Raises:
        LookupError: there is no such scenario; naming those there are.
    """
    scenario = SCENARIOS.get(name)
    if scenario is None:
        raise LookupError(f"no scenario {name!r}: use one of {', '.join(sorted(SCENARIOS))}")
    plan = WorldPlan(
        seed=name,
        release=scenario.release,
        endpoint=WorldEndpoint(scenario.hears),
        users=(BUYER, COLLEAGUE, SUCCESSOR),
        moves=(),
        policy=scenario.policy,
        clocked=scenario.clocked,
        waits=scenario.waits,
    )
    account = StripeAccount(release=plan.release, at=START, listens=plan.endpoint.listens)
    account.bare_charges = BARE_CHARGES
    account.random.seed(name)
    scenario.play(account)
    return ended(plan, [account])


def _buyer(account: StripeAccount, *, clock: bool = False) -> Customer:
    return people.arrive(account, metadata={"user_id": BUYER}, clock=clock)


def _states(**goods: str) -> dict[str, str]:
    return {"user_id": BUYER, **goods}


def _subscribed(
    account: StripeAccount,
    price: offers.StripePrice = offers.BASIC,
    *,
    customer: Customer | None = None,
    once: tuple[offers.StripePrice, ...] = (),
) -> Subscription:
    return subscribing.subscribe(
        account,
        customer or _buyer(account),
        [(price, 1)],
        metadata=_states(),
        checkout=Names(reference=BUYER, metadata=_states(price_id=price.price)),
        once=once,
    )


def _affiliate_reference(account: StripeAccount) -> None:
    names = Names(reference="8c9f2c8e-click", metadata=_states(price_id="price_lifetime"))
    buying.check_out(account, _buyer(account), 4900, names, copied=_states())


def _application_plan_in_metadata(account: StripeAccount) -> None:
    names = Names(metadata=_states(plan_code="gold-2026"), payment_link=offers.PAYMENT_LINK)
    buying.check_out(account, _buyer(account), 4900, names, copied=_states())


def _manual_capture(account: StripeAccount) -> None:
    names = Names(reference=BUYER, metadata=_states(price_id="price_lifetime"))
    session = buying.check_out(
        account, _buyer(account), 4900, names, capture="manual", copied=_states()
    )
    buying.capture_part(account, account.get(Intent, session.intent), [4900])


def _other_subscription(account: StripeAccount) -> None:
    customer = people.arrive(account)
    subscribing.subscribe(account, customer, [(offers.BASIC, 1)], metadata=_states())
    account.wait(3 * DAY)
    subscribing.subscribe(account, customer, [(offers.ADDON, 1)])


def _unknown_invoice(account: StripeAccount) -> None:
    held = subscribing.subscribe(
        account,
        _buyer(account),
        [(offers.BASIC, 1)],
        metadata=_states(),
        goods_on_intent=offers.BASIC.price,
    )
    account.wait(5 * DAY)
    subscribing.cancel(account, held)


def _invoice_by_subscription(account: StripeAccount) -> None:
    customer = people.arrive(account)
    subscribing.subscribe(account, customer, [(offers.BASIC, 1)], metadata=_states())
    account.wait(DAY)
    buying.invoice_once(account, customer, [billing.once_line(account, offers.LIFETIME)])


def _leftover_credit(account: StripeAccount) -> None:
    customer = _buyer(account)
    held = _subscribed(account, customer=customer)
    account.wait(10 * DAY)
    subscribing.cancel(account, held)
    credit = subscribing.credit_unused_time(account, held)
    account.wait(2 * DAY)
    consulting = billing.once_line(account, offers.CONSULTING)
    buying.invoice_once(account, customer, [credit, consulting])


def _legacy_charge(account: StripeAccount) -> None:
    buying.charge_directly(account, _buyer(account), 4900, _states(price_id="price_lifetime"))


def _transferred_key(account: StripeAccount) -> None:
    held = _subscribed(account, offers.PRO_BY_KEY)
    account.wait(15 * DAY)
    bare = replace(held.items[0], offer=replace(offers.PRO_BY_KEY, lookup_key=None))
    subscribing.update(account, held, items=(bare,))


def _move(account: StripeAccount) -> None:
    customer = _buyer(account)
    _subscribed(account, customer=customer)
    account.wait(DAY)
    theirs = {"user_id": COLLEAGUE}
    names = Names(reference=COLLEAGUE, metadata={**theirs, "price_id": "price_lifetime"})
    buying.check_out(account, customer, 4900, names, copied=theirs)
    account.wait(DAY)
    people.name_user(account, customer, SUCCESSOR)


def _year_is_over(account: StripeAccount) -> None:
    line = billing.once_line(account, offers.YEAR_ONCE, lasts=365 * DAY)
    buying.invoice_once(account, _buyer(account), [line])


def _one_time_beside(account: StripeAccount) -> Subscription:
    return _subscribed(account, once=(offers.LIFETIME,))


def _one_time_then_cancelled(account: StripeAccount) -> None:
    held = _one_time_beside(account)
    account.wait(20 * DAY)
    subscribing.cancel(account, held)


def _quantity(account: StripeAccount) -> None:
    line = billing.once_line(account, offers.TEAM_ONCE, quantity=5)
    buying.invoice_once(account, _buyer(account), [line])


def _part_lost(account: StripeAccount) -> None:
    names = Names(metadata=_states(price_id="price_lifetime"))
    session = buying.check_out(account, _buyer(account), 4900, names, copied=_states())
    charge = account.get(Charge, account.get(Intent, session.intent).latest_charge)
    opened = buying.dispute(account, charge, amount=900, status="needs_response")
    buying.end_dispute(account, opened, "lost")


def _partial_capture(account: StripeAccount) -> None:
    goods = _states(price_id="price_lifetime")
    intent = buying.pay_directly(account, _buyer(account), 4900, goods, capture="manual")
    buying.capture_part(account, intent, [4000])


def _paused(account: StripeAccount) -> None:
    held = _subscribed(account)
    account.wait(9 * DAY)
    subscribing.pause_collection(account, held)


def _cut_at_ten(account: StripeAccount) -> None:
    held = _subscribed(account)
    account.wait(5 * DAY)
    addon = subscribing.new_item(account, held, offers.ADDON)
    held = subscribing.change_items(account, held, [*held.items, addon])
    account.wait(DAY)
    regions = [
        offers.StripePrice(price=f"price_region_{each}", product="prod_region", amount=10)
        for each in range(9)
    ]
    items = [subscribing.new_item(account, held, each) for each in regions]
    subscribing.change_items(account, held, [held.items[0], *items, addon])


def _clock_upgrade(account: StripeAccount) -> None:
    held = _subscribed(account)
    account.wait(700 * DAY)
    item = replace(held.items[0], offer=offers.PRO)
    subscribing.change_items(account, held, [item])


def _clock_ends(account: StripeAccount) -> None:
    ending = _subscribed(account, customer=_buyer(account, clock=True))
    staying = subscribing.subscribe(
        account, account.get(Customer, ending.customer), [(offers.ADDON, 1)], metadata=_states()
    )
    subscribing.cancel_at_period_end(account, ending, names_day=False)
    subscribing.renew(account, staying)


def _uganda(account: StripeAccount) -> None:
    goods = _states(price_id="price_lifetime")
    buying.pay_directly(account, _buyer(account), 500_000, goods, currency="ugx")


def _unsold(account: StripeAccount) -> None:
    buying.pay_directly(account, _buyer(account), 20_000, _states(price_id="price_consulting"))


def _refund_by_charge(account: StripeAccount) -> None:
    customer = people.arrive(account)
    invoice = buying.invoice_once(
        account,
        customer,
        [billing.once_line(account, offers.LIFETIME)],
        metadata=_states(),
        declines=1,
    )
    account.wait(35 * DAY)
    buying.refund(account, account.get(Charge, invoice.charge), 4900)


SCENARIOS: Mapping[str, NamedScenario] = {
    "affiliate-reference-one-time": NamedScenario(
        play=_affiliate_reference, features={BUYER: LIFETIME}, paid={BUYER: (4900, 0)}
    ),
    "app-plan-in-metadata-known-link": NamedScenario(
        play=_application_plan_in_metadata, features={BUYER: LIFETIME}, paid={BUYER: (4900, 0)}
    ),
    "checkout-manual-capture": NamedScenario(
        play=_manual_capture, features={BUYER: LIFETIME}, paid={BUYER: (4900, 0)}
    ),
    "customer-known-by-its-other-subscription": NamedScenario(
        play=_other_subscription,
        features={BUYER: {**BASIC, "addon": True}},
        paid={BUYER: (1300, 0)},
    ),
    "intent-of-an-unknown-invoice": NamedScenario(
        play=_unknown_invoice,
        features={},
        paid={BUYER: (1000, 0)},
        release=ApiRelease.V2022,
        hears="no-invoices",
    ),
    "invoice-known-by-subscription": NamedScenario(
        play=_invoice_by_subscription,
        features={BUYER: {**BASIC, **LIFETIME}},
        paid={BUYER: (5900, 0)},
        release=ApiRelease.V2022,
    ),
    "leftover-proration-credit": NamedScenario(
        play=_leftover_credit,
        features={},
        paid={BUYER: (20_333, 0)},
        names_unsold="price_consulting",
    ),
    "legacy-charge-names-its-price": NamedScenario(
        play=_legacy_charge,
        features={BUYER: LIFETIME},
        paid={BUYER: (4900, 0)},
        release=ApiRelease.V2022,
    ),
    "lookup-key-transferred": NamedScenario(
        play=_transferred_key, features={BUYER: PRO}, paid={BUYER: (2400, 0)}
    ),
    "move-takes-what-another-bought": NamedScenario(
        play=_move,
        features={COLLEAGUE: LIFETIME, SUCCESSOR: BASIC},
        paid={COLLEAGUE: (4900, 0), SUCCESSOR: (1000, 0)},
    ),
    "one-off-year-is-over": NamedScenario(
        play=_year_is_over, features={}, paid={BUYER: (12_000, 0)}, waits=400 * DAY
    ),
    "one-time-in-subscription-checkout": NamedScenario(
        play=_one_time_beside,
        features={BUYER: {**BASIC, **LIFETIME}},
        paid={BUYER: (5900, 0)},
    ),
    "one-time-in-subscription-then-cancelled": NamedScenario(
        play=_one_time_then_cancelled,
        features={BUYER: LIFETIME},
        paid={BUYER: (5900, 0)},
        release=ApiRelease.V2024,
    ),
    "one-time-quantity": NamedScenario(
        play=_quantity, features={BUYER: {"seats": 5}}, paid={BUYER: (4500, 0)}
    ),
    "part-of-a-payment-lost-in-dispute": NamedScenario(
        play=_part_lost, features={BUYER: LIFETIME}, paid={BUYER: (4900, 0)}
    ),
    "partial-capture": NamedScenario(
        play=_partial_capture, features={BUYER: LIFETIME}, paid={BUYER: (4000, 0)}
    ),
    "partial-capture-old": NamedScenario(
        play=_partial_capture,
        features={BUYER: LIFETIME},
        paid={BUYER: (4000, 0)},
        release=ApiRelease.V2022,
    ),
    "paused-collection": NamedScenario(
        play=_paused,
        features={},
        paid={BUYER: (1000, 0)},
        policy={"collection_paused": "end"},
    ),
    "refund-told-by-its-charge-only": NamedScenario(
        play=_refund_by_charge, features={}, paid={BUYER: (4900, 4900)}, hears="late-charges"
    ),
    "subscription-items-cut-at-ten": NamedScenario(
        play=_cut_at_ten, features={BUYER: {**BASIC, "addon": True}}, paid={BUYER: (1000, 0)}
    ),
    "test-clock-upgrade": NamedScenario(
        play=_clock_upgrade, features={BUYER: PRO}, paid={BUYER: (1000, 0)}, clocked=True
    ),
    "test-clock-passes-the-end": NamedScenario(
        play=_clock_ends,
        features={BUYER: {"addon": True}},
        paid={BUYER: (1600, 0)},
        clocked=True,
    ),
    "ugx-is-counted-in-hundredths": NamedScenario(
        play=_uganda, features={BUYER: LIFETIME}, paid={BUYER: (500_000, 0)}
    ),
    "unknown-price-on-an-intent": NamedScenario(
        play=_unsold,
        features={},
        paid={BUYER: (20_000, 0)},
        names_unsold="price_consulting",
    ),
}
"""Every scenario by the name of its kind of report."""
