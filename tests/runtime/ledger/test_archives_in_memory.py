"""A party of which much is archived ends as one that is always loaded whole, after every event."""

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from random import Random

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from billing.catalogue import Catalogue, read_catalogue
from billing.envelope import parse
from billing.facts import Fact
from billing.ids import EventId
from billing.readers.registry import read_event
from billing.rows import EntitlementRow
from ops.samples.worlds import world as random_worlds
from ops.samples.worlds.world import World
from tests.billing.fact_builders import (
    CATALOGUE,
    DAY,
    at,
    charge,
    dispute,
    intent,
    invoice,
    item,
    line,
    subscribed,
    subscription,
    with_policy,
)
from tests.runtime.ledger.long_pasts import PASSES, pasts, repeated, with_mentions
from tests.runtime.ledger.party_in_memory import PartyInMemory, StatedEvent, archiving_above
from tests.worlds.adapter import catalogue_of, statements_of
from tests.worlds.backfilled import seen_at
from tests.worlds.drawing import world_of

NOW = at(400 * DAY)
FULL = bool(os.environ.get("PAIDUP_TEST_FULL"))
CATALOGUES = (
    CATALOGUE,
    PASSES,
    with_policy({"refund_full": "keep"}),
    with_policy({"subscription_refund_full": "end", "subscription_dispute_open": "end"}),
)


def recorded(*batches: Fact | Sequence[Fact], catalogue: Catalogue = CATALOGUE) -> PartyInMemory:
    """Record batches of events with one fact each, comparing after every one."""
    party = PartyInMemory(catalogue=catalogue)
    number = 0
    with archiving_above(3, kept=1):
        for batch in batches:
            events = []
            for fact in [batch] if isinstance(batch, Fact) else batch:
                number += 1
                stated = replace(with_mentions(fact), event_id=EventId(f"evt_{number}"))
                events.append(StatedEvent(facts=(stated,)))
            party.record(events, NOW)
            assert party.differences(NOW) == []
    return party


def archives(party: PartyInMemory) -> set[str]:
    return {name.removeprefix("test:") for name in party.archive_of.values() if name}


def test_a_subscription_that_becomes_known_later_may_explain_archived_payments() -> None:
    # A payment that names a plan buys nothing while a subscription stands for that plan.
    paid = [
        intent(seconds=day * DAY, stripe_id=f"pi_{day}", plan_code="premium") for day in range(1, 7)
    ]
    before = recorded(subscription("active", 0, item("price_team")), *paid)
    assert archives(before) == {"pi_1", "pi_2", "pi_3", "pi_4"}

    recorded(
        subscription("active", 0, item("price_team")),
        *paid,
        subscription("active", 0, item("price_premium"), stripe_id="sub_2"),
    )


def billed(day: int, price: str) -> Fact:
    sold = line(price, kind="subscription", subscription="sub_1", lasts=DAY, since=day * DAY)
    return invoice(day * DAY, stripe_id=f"in_{day}", lines=(sold,), payment_refs=(f"pi_{day}",))


CHANGED_TWICE = (
    subscription("active", 0, item("price_basic")),
    billed(1, "price_basic"),
    subscription("active", 2 * DAY, item("price_premium")),
    billed(2, "price_premium"),
    billed(3, "price_premium"),
    subscription("active", 4 * DAY, item("price_basic")),
    *(billed(day, "price_basic") for day in range(4, 8)),
)


def test_a_late_checkout_began_what_the_first_invoice_bills_though_it_is_archived() -> None:
    assert "in_1" in archives(recorded(*CHANGED_TWICE))

    recorded(*CHANGED_TWICE, subscribed(0, price_id=None))


def unlinked(day: int) -> Fact:
    paid = {"amount_paid": 1000 + day, "subscription": None, "user_id": "usr_1"}
    return invoice(day * DAY, stripe_id=f"in_0000000{day}a", **paid)


def test_a_payment_without_a_customer_finds_the_archived_invoice_that_it_refers_to() -> None:
    invoices = [unlinked(day) for day in range(1, 7)]
    known = (subscription("active", 0), *invoices)
    money = {"amount": 1002, "payment_intent": "pi_9", "order_reference": "in_00000002"}
    referring = charge(20 * DAY, stripe_id="ch_9", how={"customer": None}, **money)
    paid = intent(seconds=20 * DAY, stripe_id="pi_9", amount=1002, amount_received=1002)
    assert "in_00000002a" in archives(recorded(*known))

    recorded(*known, paid, referring)
    recorded(*known, (paid, referring))


def test_a_reference_that_fits_two_invoices_links_neither_whatever_is_loaded() -> None:
    both = [f"in_00000001{each}" for each in "ab"]
    recorded(
        subscription("active", 0),
        charge(stripe_id="ch_1", payment_intent=None, order_reference="in_00000001"),
        *(invoice(DAY, stripe_id=each, subscription=None, amount_paid=500) for each in both),
        *(intent(seconds=day * DAY, stripe_id=f"pi_{day}") for day in range(2, 6)),
        invoice(8 * DAY, stripe_id=both[1], subscription=None, amount_paid=500),
        dispute("lost", 9 * DAY, charge="ch_1", payment_intent=None),
    )


def test_a_payment_refers_to_an_invoice_that_only_an_archived_observation_names() -> None:
    snapshots = [
        subscription("active", day * DAY, stated={"latest_invoice": f"in_0000000{day}a"})
        for day in range(1, 9)
    ]
    assert "in_00000002a" in archives(recorded(*snapshots))

    recorded(
        *snapshots,
        charge(2 * DAY, stripe_id="ch_2", payment_intent=None, order_reference="in_00000002"),
    )


def test_an_invoice_that_loses_its_link_finds_the_archived_payment_beside_it() -> None:
    known = (
        subscription("active", 0),
        invoice(0, stripe_id="in_00000000a", subscription=None, user_id="usr_1", amount_paid=5),
        invoice(DAY, stripe_id="in_00000001a", subscription=None, amount_paid=500),
        charge(DAY + 9000, payment_intent=None, order_reference="in_00000001"),
        intent(seconds=DAY + 10, stripe_id="pi_90", amount_received=500),
        *(intent(seconds=day * DAY, stripe_id=f"pi_{day}") for day in range(2, 8)),
    )
    assert {"in_00000001a", "pi_90"} <= archives(recorded(*known))

    # Another invoice fits the reference of its payment, and names neither of them.
    recorded(*known, invoice(20 * DAY, stripe_id="in_00000001b", subscription=None, amount_paid=6))


SOLD_ONCE = read_catalogue({"plans": {"gold": {"prices": ["price_x"]}}})
PART_OF_IT = read_catalogue({"plans": {"gold": {"prices": ["price_x", "price_premium"]}}})


@pytest.mark.parametrize(
    "present", [PART_OF_IT, replace(SOLD_ONCE, plans=(), nothing=frozenset({"price_x"}))]
)
def test_the_row_of_what_buys_nothing_any_more_is_archived_with_its_payment(
    present: Catalogue,
) -> None:
    fees = [
        invoice(day * DAY, stripe_id=f"in_{day}", lines=(line("price_x"),)) for day in range(1, 7)
    ]
    facts, after = (subscription("active", 0), *fees), present.with_former([SOLD_ONCE])

    for party in (recorded(*facts, catalogue=after), recorded(*facts, catalogue=SOLD_ONCE)):
        with archiving_above(3, kept=1):
            party.project(NOW, after)
        assert party.differences(NOW) == []
        rows = {row.source: (row.active, archive) for row, archive in rows_of_access(party)}
        assert rows["in_1"] == (False, "test:in_1")
        assert rows["in_6"] == (False, "")


def rows_of_access(party: PartyInMemory) -> list[tuple[EntitlementRow, str]]:
    held = party.rows.values()
    return [(row, archive) for row, archive in held if isinstance(row, EntitlementRow)]


# Shrinking takes minutes; the seed and the events that fail are printed.
@settings(max_examples=1000 if FULL else 10, phases=[Phase.explicit, Phase.generate])
@given(pasts(), st.integers(0, 1_000_000))
def test_any_facts_in_any_order_end_as_without_archives(
    events: list[StatedEvent], seed: int
) -> None:
    random = Random(seed)  # noqa: S311 - a failure must repeat
    play(events, random.choice(CATALOGUES), NOW, random)


def worlds(number: int) -> list[World]:
    """Return random worlds, as many as there are."""
    drawn = (world_of(f"archives/{each}", Counter()) for each in range(number))
    return [world for world in drawn if world and world.events]


@settings(max_examples=1000 if FULL else 10, phases=[Phase.explicit, Phase.generate])
@given(pasts(), st.integers(0, 1_000_000))
def test_any_facts_in_any_order_end_as_without_archives_when_these_are_changed_in_steps(
    events: list[StatedEvent], seed: int
) -> None:
    random = Random(seed)  # noqa: S311 - a failure must repeat
    play(
        events,
        random.choice(CATALOGUES),
        NOW,
        random,
        long_past=random.choice([0, 4]),
        other=CATALOGUES,
    )


@pytest.mark.parametrize("order", ["in order", "nearly in order", "in any order"])
def test_any_world_ends_as_without_archives_when_these_are_changed_in_steps(order: str) -> None:
    for world in worlds(200 if FULL else 1):
        random = Random(f"{world.plan.seed} {order}")  # noqa: S311 - a failure must repeat
        events = arriving(events_of(world, random), order, random)
        documents = [world.document, *world.former]
        others = [catalogue_of(each, world.former) for each in documents]
        end = datetime.fromtimestamp(world.now, UTC)
        play(events, others[0], end, random, long_past=0, other=others)


@pytest.mark.parametrize("order", ["in order", "nearly in order", "in any order"])
def test_any_world_ends_as_without_archives(order: str) -> None:
    for world in worlds(200 if FULL else 1):
        random = Random(f"{world.plan.seed} {order}")  # noqa: S311 - a failure must repeat
        events = arriving(events_of(world, random), order, random)
        catalogue = catalogue_of(world.document, world.former)
        play(events, catalogue, datetime.fromtimestamp(world.now, UTC), random)


def events_of(world: World, random: Random) -> list[StatedEvent]:
    """Return everything that was stated in a world, and in a past like it."""
    read = [read_event(parse(each)).facts for each in repeated(world, random)]
    stated = [*read, *statements_of(world)]
    return [StatedEvent(facts=tuple(facts)) for facts in stated if facts]


def arriving(events: Sequence[StatedEvent], order: str, random: Random) -> list[StatedEvent]:
    """Return the events as late as deliveries may be."""
    late = {"in order": 0, "nearly in order": 3000, "in any order": 10**9}[order]
    moments = {id(each): _stated_at(each) + random.random() * late for each in events}
    return sorted(events, key=lambda each: moments[id(each)])


def _stated_at(event: StatedEvent) -> float:
    return event.facts[0].created_at.timestamp()


def play(
    events: list[StatedEvent],
    catalogue: Catalogue,
    end: datetime,
    random: Random,
    *,
    long_past: int = 10**9,
    other: Sequence[Catalogue] = (),
) -> PartyInMemory:
    """Record events in batches while time passes, some again, and compare after each batch.

    A long past is changed in steps, and compared once these are done. Sometimes ``other`` plans
    come into force.
    """
    party = PartyInMemory(catalogue=catalogue)
    sizes = random.choice([[1], [1, 1, 1, 2, 5]])
    now = random.choice([end, events[0].facts[0].created_at])
    above, kept = random.choice([3, 6, 12]), random.choice([1, 2])
    with archiving_above(above, kept=kept, long_past=long_past):
        place = 0
        while place < len(events):
            batch = events[place : place + random.choice(sizes)]
            place += len(batch)
            if random.random() < 0.1:
                batch.append(replace(random.choice(events[:place]), again=True))
            now = max(now, min(end, newest(batch)))
            party.record(batch, now)
            if random.random() < 0.5:
                party.step(now)
            if other and random.random() < 0.1:
                party.project(now, random.choice(other))
            if random.random() < 0.2:
                finish_update(party, now)
                assert party.differences(now) == []
        party.project(end)
        finish_update(party, end)
        assert party.differences(end) == []
    return party


def finish_update(party: PartyInMemory, now: datetime) -> None:
    """Do every step of an update that is under way, and what time has changed meanwhile."""
    steps = 0
    while party.position is not None:
        party.step(now)
        steps += 1
        assert steps < 1000, "an update never ends"


def newest(events: Iterable[StatedEvent]) -> datetime:
    return max(fact.created_at for each in events for fact in each.facts)


@pytest.mark.parametrize("seed", ["backfill/30", "backfill/60"])
def test_what_a_backfill_reads_beside_events_ends_as_a_party_that_is_always_loaded_whole(
    seed: str,
) -> None:
    """Read the newest objects first, as Stripe lists them, all of them dated by one second."""
    world = random_worlds.play(random_worlds.draw_plan(seed))
    random = Random(seed)  # noqa: S311 - worlds must repeat
    last = max(world.now, *(account.at for account in world.accounts))
    seen = [facts for account in world.accounts for facts in seen_at(account, last)][::-1]
    heard = [facts for event in world.events if (facts := read_event(parse(event.body)).facts)]
    order = [StatedEvent(facts=facts) for facts in (*seen, *random.sample(heard, 12)) if facts]
    now = datetime.fromtimestamp(last, UTC)
    party = PartyInMemory(catalogue=catalogue_of(world.document, world.former))

    with archiving_above(3, kept=1):
        for each in order:
            party.record([each], now)
            assert party.differences(now) == []

    assert archives(party)
