"""Random worlds: a plan that a seed draws, and what comes of playing it.

Every action has a seed of its own, so a plan that lost some of its actions plays the rest alike.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any, Final, NamedTuple

from ops.samples.scenario import DAY, Event
from ops.samples.worlds import offers
from ops.samples.worlds.account import StripeAccount
from ops.samples.worlds.actions import ACTIONS
from ops.samples.worlds.endpoints import UNHEARD, WorldEndpoint
from ops.samples.worlds.plots import PLOTS
from ops.samples.worlds.releases import ApiRelease
from ops.samples.worlds.stage import Stage, happens
from ops.samples.worlds.truth.end import EVERYWHERE, End, end_everywhere, end_of
from ops.samples.worlds.truth.shop import Shop

START: Final = 1_750_000_000
TWINS: Final = 0.01
BARE_CHARGES: Final = 0.15


class WorldMove(NamedTuple):
    """One action of a plan, its own seed, the time before it, and the realm it happens in."""

    name: str
    seed: int
    gap: int
    realm: int


@dataclass(frozen=True, slots=True, kw_only=True)
class WorldPlan:
    """Everything that decides a world."""

    seed: str
    release: ApiRelease
    endpoint: WorldEndpoint
    users: tuple[str, ...]
    moves: tuple[WorldMove, ...]
    realms: tuple[tuple[bool, str | None], ...] = ((False, None),)
    policy: Mapping[str, str] = field(default_factory=dict)
    identity: Mapping[str, Any] = field(default_factory=dict)
    dropped: str | None = None
    """A plan that the catalogue of record sells no longer."""
    clocked: bool = False
    waits: int = 60
    """Seconds from the last event to the end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """A world that was played: its events, and its true end in each realm."""

    plan: WorldPlan
    events: tuple[Event, ...]
    document: Mapping[str, Any]
    former: tuple[Mapping[str, Any], ...]
    now: int
    ends: tuple[End, ...]
    accounts: tuple[StripeAccount, ...]

    @property
    def rules(self) -> frozenset[str]:
        """The rules that decided something in it."""
        met = len([end for end in self.ends if end.money or _is_of_stripe(end)]) > 1
        apart = {"realms-apart"} if met else set()
        return frozenset(apart).union(*(end.rules for end in self.ends))


def _is_of_stripe(end: End) -> bool:
    return bool(end.grants) and end.realm != EVERYWHERE


def draw_plan(seed: str) -> WorldPlan:
    """Return the plan of a random world."""
    random = Random(seed)  # noqa: S311 - worlds must repeat, not be secret
    release = random.choices(list(ApiRelease), weights=[1, 2, 2, 2, 3, 4])[0]
    theme = random.choice(list(THEMES))
    kinds = [kind for kind in UNHEARD if kind != "everything"]
    kind = "everything" if happens(random, 0.5) else random.choice([*kinds, "late-charges"])
    since = random.randrange(1, 50) * DAY if happens(random, 0.14) else 0
    realms: list[tuple[bool, str | None]] = [(False, None)]
    if happens(random, 0.12):
        realms.append((True, None))
    if happens(random, 0.05):
        realms = [(True, None), (True, "acct_1Connected")]
    moves = _moves(random, THEMES[theme], len(realms))
    silent = {"subscribe_silently", "check_out_seats"}
    if any(move.name in silent for move in moves) and happens(random, 0.4):
        kind = "no-snapshots"
    clocked = theme == "subscriptions" and happens(random, 0.3) and not realms[0][0]
    people = random.choice([1, 2, 2, 3])
    return WorldPlan(
        seed=seed,
        release=release,
        endpoint=WorldEndpoint(kind, since),
        users=tuple(f"user_{random.randrange(16**6):06x}" for _ in range(people)),
        moves=moves,
        realms=tuple(realms),
        policy=_policy(random),
        identity=_identity(random),
        dropped=random.choice(["addon", "pro", "lifetime"]) if happens(random, 0.16) else None,
        clocked=clocked,
        waits=random.choice([1, 60, 4000, 2 * DAY, 4 * DAY, 8 * DAY, 40 * DAY]),
    )


def _policy(random: Random) -> dict[str, str]:
    unknown = {"unknown_price": "end"} if happens(random, 0.36) else {}
    if happens(random, 0.5):
        return unknown
    return unknown | {
        line: random.choice(["keep", "end"])
        for line in sorted(offers.DEFAULT_POLICY)
        if line != "unknown_price" and happens(random, 0.5)
    }


def _identity(random: Random) -> dict[str, Any]:
    """Return an ``[identity]``, which few shops need."""
    if happens(random, 0.65):
        return {}
    return random.choice(
        [
            {"user_from": ("metadata",)},
            {"user_from": ("client_reference_id", "metadata")},
            {"metadata_keys": ("account", "user_id")},
        ]
    )


def _moves(random: Random, weights: Mapping[str, int], realms: int) -> tuple[WorldMove, ...]:
    names, chances = list(weights), list(weights.values())
    chosen = ["arrive"] * random.choice([1, 1, 2])
    plots = random.sample(sorted(PLOTS), random.choice([1, 2, 2, 3]))
    others = random.choices(names, weights=chances, k=random.randrange(3, 12))
    # What a checkout says is over after three days: the world must end soon after it.
    late = "check_out_seats" in plots or happens(random, 0.3)
    chosen += [*others, *plots] if late else [*plots, *others]
    for name in random.choices(STATEMENTS, k=random.choice([0, 0, 1, 2, 4])):
        chosen.insert(random.randrange(1, len(chosen) + 1), name)
    return tuple(
        WorldMove(
            name=name,
            seed=random.randrange(2**32),
            gap=random.choice([200, 5000, DAY, 3 * DAY]),
            realm=random.randrange(realms),
        )
        for name in chosen * realms
    )


def play_until(plan: WorldPlan, now: int) -> World:
    """Play a plan so that it ends at ``now``.

    Raises:
        AmbiguousWorldError: the rules leave its end open.
    """
    return play(plan, start=START + now - play(plan).now)


def play(plan: WorldPlan, *, start: int = START) -> World:
    """Play a plan from ``start`` on; it decides its end itself.

    Raises:
        AmbiguousWorldError: the rules leave its end open.
    """
    stages = [
        Stage(
            account=StripeAccount(
                release=plan.release,
                at=start,
                livemode=live,
                connected=connected,
                twins=TWINS,
                bare_charges=BARE_CHARGES,
                listens=lambda event_type, at: plan.endpoint.listens(event_type, at - start),
            ),
            users=plan.users,
            clocked=plan.clocked,
            user_keys=plan.identity.get("metadata_keys", ("user_id",)),
        )
        for live, connected in plan.realms
    ]
    for move in plan.moves:
        stage = stages[move.realm]
        random = Random(move.seed)  # noqa: S311 - worlds must repeat
        stage.account.random = Random(move.seed + 1)  # noqa: S311
        stage.account.wait(move.gap)
        ACTIONS[move.name](stage, random)
    accounts = tuple(stage.account for stage in stages)
    return ended(plan, accounts, start=start)


def ended(plan: WorldPlan, accounts: Sequence[StripeAccount], *, start: int = START) -> World:
    """Return the world that these accounts have become."""
    now = start + 5 * DAY if plan.clocked else max(each.at for each in accounts) + plan.waits
    document = offers.plans_with(plan.policy, plan.identity, plan.dropped)
    before = (offers.plans_with(plan.policy, plan.identity),) if plan.dropped else ()
    former = (*before, offers.FORMER)
    events = sorted(
        (event for account in accounts for event in account.events),
        key=lambda event: event.created,
    )
    return World(
        plan=plan,
        events=tuple(events),
        document=document,
        former=former,
        now=now,
        ends=_ends(accounts, Shop(document=document, former=former), now),
        accounts=tuple(accounts),
    )


def at_moment(world: World, now: int) -> World:
    """Return the world with its end at another moment, at which nothing else has happened.

    Raises:
        AmbiguousWorldError: the rules leave that end open.
    """
    shop = Shop(document=world.document, former=world.former)
    return replace(world, now=now, ends=_ends(world.accounts, shop, now))


def _ends(accounts: Sequence[StripeAccount], shop: Shop, now: int) -> tuple[End, ...]:
    ends = [end_of(account, shop, now) for account in accounts]
    if any(grant.everywhere for account in accounts for grant in account.granted):
        ends.append(end_everywhere(accounts, shop, now))
    return tuple(ends)


def without(plan: WorldPlan, dropped: Sequence[int]) -> WorldPlan:
    """Return the plan without the moves at these places."""
    kept = tuple(move for at, move in enumerate(plan.moves) if at not in dropped)
    return replace(plan, moves=kept)


_SUBSCRIPTIONS: Final[Mapping[str, int]] = {
    "subscribe": 6,
    "renew": 6,
    "fail_again": 2,
    "recover": 3,
    "give_up": 1,
    "switch_price": 5,
    "transfer_key": 2,
    "add_item": 4,
    "remove_item": 2,
    "cancel": 1,
    "cancel_at_period_end": 2,
    "resume": 1,
    "pause_collection": 2,
    "pause": 1,
    "touch": 2,
    "change_within_a_second": 2,
    "refund": 2,
    "dispute": 1,
    "end_dispute": 1,
    "make_noise": 1,
}
_PURCHASES: Final[Mapping[str, int]] = {
    "check_out": 8,
    "check_out_as_guest": 2,
    "capture": 5,
    "decide_debit": 5,
    "expire_session": 1,
    "set_up": 1,
    "pay_directly": 5,
    "refund": 5,
    "end_refund": 3,
    "dispute": 4,
    "end_dispute": 4,
    "subscribe": 1,
    "make_noise": 1,
}
_INVOICES: Final[Mapping[str, int]] = {
    "invoice_once": 8,
    "subscribe": 3,
    "cancel": 2,
    "invoice_leftovers": 3,
    "credit": 5,
    "void_note": 3,
    "refund": 3,
    "end_refund": 2,
    "dispute": 2,
    "end_dispute": 2,
    "make_noise": 1,
}
_PEOPLE: Final[Mapping[str, int]] = {
    "arrive": 2,
    "move_customer": 4,
    "clear_customer": 1,
    "restate_subscription": 2,
    "link_by_hand": 4,
    "delete_customer": 3,
    "subscribe": 4,
    "check_out": 4,
    "invoice_once": 3,
    "pay_directly": 2,
    "list_features": 3,
    "renew": 2,
    "cancel": 1,
}
STATEMENTS: Final = ("grant_by_hand", "grant_by_hand", "end_grant", "link_by_hand", "end_link")
"""What people say at any moment of any world."""

THEMES: Final[Mapping[str, Mapping[str, int]]] = {
    "subscriptions": _SUBSCRIPTIONS,
    "purchases": _PURCHASES,
    "invoices": _INVOICES,
    "people": _PEOPLE,
    "everything": dict.fromkeys((*_SUBSCRIPTIONS, *_PURCHASES, *_INVOICES, *_PEOPLE), 1),
}
