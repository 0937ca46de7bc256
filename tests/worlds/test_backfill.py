"""A backfill ends where all webhooks do, unless the end follows from what was and not from what is.

``docs/rules.md`` has the list of what Stripe's present state does not tell. Everything here is
pure; ``tests/runtime/ledger/test_observe_worlds.py`` writes some of it to a database.
"""

from pathlib import Path
from random import Random
from typing import NamedTuple

import pytest

from billing.catalogue import Catalogue
from ops.samples.scenario import DAY
from ops.samples.worlds import offers
from ops.samples.worlds.account import StripeAccount
from ops.samples.worlds.releases import ApiRelease
from ops.samples.worlds.steps import people, subscribing
from ops.samples.worlds.truth.evidence import AmbiguousWorldError
from ops.samples.worlds.world import World, draw_plan, play
from tests.worlds.adapter import Ending, catalogue_of, ending, facts_of, statements_of
from tests.worlds.backfilled import changes_silently, history_needed, seen_at

RARE = ["back/308", "back/359", "back/1876", "back/2184", "grace/994"]
"""Worlds whose end needs history for a reason that few have, and for no other."""

SEEDS = [*(f"backfill/{number}" for number in range(300)), *RARE]
BEGINNING = 1_750_000_000
ONLY_EVENTS = "only events tell the time of a test clock"


class PlayedWorld(NamedTuple):
    """A world, its catalogue, its end by all webhooks, and why that may need history."""

    world: World
    catalogue: Catalogue
    by_events: Ending
    needs: frozenset[str]


def played(seed: str) -> World | None:
    """Return a world of whose events none was missed, in the shape of a present endpoint."""
    try:
        world = play(draw_plan(seed))
    except AmbiguousWorldError:
        return None
    heard_all = not any(each.missed for each in world.accounts)
    return world if heard_all and world.plan.release is not ApiRelease.V2014 else None


@pytest.fixture(scope="module")
def compared() -> list[PlayedWorld]:
    """Play worlds, and find where all their webhooks end."""
    worlds = [world for seed in SEEDS if (world := played(seed))]
    found = []
    for world in worlds:
        catalogue = catalogue_of(world.document, world.former)
        facts = [*facts_of(world.events), *statements_of(world)]
        by_events = ending(facts, catalogue, world.now)
        found.append(PlayedWorld(world, catalogue, by_events, history_needed(world, catalogue)))
    return found


def last_second(world: World) -> int:
    return max(world.now, *(account.at for account in world.accounts))


def backfilled(each: PlayedWorld, at: int, *, events_since: int | None = None) -> Ending:
    """Return the end by what Stripe shows at a moment, and by the events since another one."""
    world = each.world
    seen = [facts for account in world.accounts for facts in seen_at(account, at)]
    heard = [
        event
        for event in world.events
        if events_since is not None and event.created >= events_since
    ]
    facts = [*facts_of(heard), *seen, *statements_of(world)]
    return ending(facts, each.catalogue, world.now)


def some_moments(world: World) -> tuple[int, int]:
    """Return when an endpoint was registered, and when a backfill ran, the former not later."""
    random = Random(world.plan.seed)  # noqa: S311 - worlds must repeat
    moments = sorted({event.created for event in world.events} or {0})
    registered = random.choice(moments)
    if any(map(changes_silently, world.accounts)):
        return registered, last_second(world)
    return registered, random.choice([each for each in moments if each >= registered])


def test_what_stripe_shows_ends_as_all_its_events_do(compared: list[PlayedWorld]) -> None:
    differing = [
        each.world.plan.seed
        for each in compared
        if not each.needs and backfilled(each, last_second(each.world)) != each.by_events
    ]

    assert differing == []


def test_events_that_flow_before_and_after_a_backfill_change_no_end(
    compared: list[PlayedWorld],
) -> None:
    differing = []
    for each in compared:
        registered, at = some_moments(each.world)
        found = backfilled(each, at, events_since=registered)
        if not each.needs and found != each.by_events:
            differing.append((each.world.plan.seed, registered, at))

    assert differing == []


def test_money_and_statuses_need_no_history(compared: list[PlayedWorld]) -> None:
    differing = [
        each.world.plan.seed
        for each in compared
        if ONLY_EVENTS not in each.needs
        if _without_users(backfilled(each, last_second(each.world)))
        != _without_users(each.by_events)
    ]

    assert differing == []


def _without_users(end: Ending) -> object:
    return {ref: row[1:] for ref, row in end.money.items()}, dict(end.statuses)


def test_what_needs_history_is_stated_in_the_rules_and_does_need_it(
    compared: list[PlayedWorld],
) -> None:
    page = Path(__file__).parents[2] / "docs" / "rules.md"
    rules = " ".join(page.read_text().lower().split())
    alone = [each for each in compared if len(each.needs) == 1]

    reasons = frozenset[str]().union(*(each.needs for each in compared))
    decisive = frozenset[str]().union(
        *(
            each.needs
            for each in alone
            if ONLY_EVENTS in each.needs
            or backfilled(each, last_second(each.world)) != each.by_events
        )
    )

    assert decisive == reasons
    assert [each for each in sorted(reasons) if each not in rules] == []


def test_much_of_what_is_played_needs_no_history(compared: list[PlayedWorld]) -> None:
    assert len([each for each in compared if not each.needs]) > len(compared) * 0.4


@pytest.mark.parametrize("outcome", ["failed", "overdue"])
def test_grace_ends_in_the_second_in_which_it_does_by_events(outcome: str) -> None:
    account = StripeAccount(release=ApiRelease.ENDIVE, at=BEGINNING)
    customer = people.arrive(account, metadata={"user_id": "usr_1"})
    held = subscribing.subscribe(account, customer, [(offers.PRO, 1)])
    subscribing.renew(account, held, outcome=outcome)
    now = account.wait(DAY)
    catalogue = catalogue_of(offers.plans_with({}, {}), ())

    by_events = ending(facts_of(account.events), catalogue, now)

    assert [until for _, until in by_events.grants.values()] != [None]
    assert ending(seen_at(account, now), catalogue, now) == by_events
