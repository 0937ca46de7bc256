"""Compare where ``billing`` ends with the true end of a world."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

from ops.samples.worlds.scenarios import SCENARIOS
from ops.samples.worlds.truth.end import End
from ops.samples.worlds.world import World
from tests.worlds.adapter import (
    Ending,
    Facts,
    catalogue_of,
    ending,
    ending_step_by_step,
    facts_of,
    statements_of,
)


@dataclass(frozen=True)
class Difference:
    """One thing that differs, and the delivery in which it does."""

    delivery: str
    what: str

    def __str__(self) -> str:
        return f"[{self.delivery}] {self.what}"


def failures(world: World, shuffles: int) -> list[str]:
    """Return everything that is wrong with a world: in its truth, in ``billing``, or raised."""
    found = bank_differences(world)
    try:
        return found + [str(each) for each in differences(world, shuffles)]
    except Exception as error:  # noqa: BLE001 - whatever billing raises is a failure of this world
        return [*found, f"raised {type(error).__name__}: {error}"]


def differences(world: World, shuffles: int) -> list[Difference]:
    """Return everything in which ``billing`` differs from the truth, in every delivery."""
    catalogue = catalogue_of(world.document, world.former)
    facts = [*facts_of(world.events), *statements_of(world)]
    in_order = ending(facts, catalogue, world.now)
    found = [Difference("in order", what) for what in _against(world, in_order)]
    random = Random(world.plan.seed)  # noqa: S311 - a failure must repeat
    for number in range(shuffles):
        given = _shuffled(facts, random)
        deliver = ending_step_by_step if number == 0 else ending
        if deliver(given, catalogue, world.now) != in_order:
            found.append(Difference(f"shuffle {number}", "order or repetition changes the end"))
    return found


def _shuffled(facts: list[Facts], random: Random) -> list[Facts]:
    given = [*facts, *random.sample(facts, len(facts) // 2)]
    random.shuffle(given)
    return given


def _against(world: World, found: Ending) -> Iterator[str]:
    yield from rows_against(world, found)
    for end in world.ends:
        yield from _features(end, found)


def rows_against(world: World, found: Ending) -> Iterator[str]:
    """Yield what differs from the truth, except the features that rows merge into."""
    for end in world.ends:
        yield from _grants(end, found)
        yield from _money(end, found)
        yield from _others(end, found, world)
    realms = {end.realm for end in world.ends}
    for realm, *rest in [*found.grants, *found.money]:
        if realm not in realms:
            yield f"rows in realm {realm}: {rest}"


def _others(end: End, found: Ending, world: World) -> Iterator[str]:
    statuses = {key[1]: each for key, each in found.statuses.items() if key[0] == end.realm}
    for subscription, status in end.statuses.items():
        if statuses.get(subscription) != status:
            yield f"{subscription} is {statuses.get(subscription)}, not {status}"
    if unnamed := end.unsold - found.unsold:
        yield f"sold, in no plan, and not named: {sorted(unnamed)}"
    nothing = set(world.document.get("catalogue", {}).get("nothing", ()))
    if named := found.unsold & nothing:
        yield f"granting nothing on purpose, and named as unsold: {sorted(named)}"
    if end.waits and not found.waits:
        yield "money without a user is not shown as waiting"
    for line, bought in end.lines.items():
        if found.lines.get((end.realm, line)) != bought:
            yield f"line {line} is {found.lines.get((end.realm, line))}, not {bought}"


def _features(end: End, found: Ending) -> Iterator[str]:
    users = {user for realm, user in found.features if realm == end.realm}
    for user in sorted({*users, *end.features}):
        true = dict(end.features.get(user, {}))
        got = dict(found.features.get((end.realm, user), {}))
        if true != got:
            yield f"{user} may {got}, not {true}"


def _grants(end: End, found: Ending) -> Iterator[str]:
    true = {
        (grant.user, grant.source, grant.plan): (dict(grant.features), grant.expires_at)
        for grant in end.grants
    }
    if doubled := [key for key, times in Counter(_keys(end)).items() if times > 1]:
        yield f"the truth grants twice: {doubled}"
    got = {key[1:]: value for key, value in found.grants.items() if key[0] == end.realm}
    for grant in end.grants:
        for alias in {(grant.user, each, grant.plan) for each in grant.aliases} & got.keys():
            got[grant.user, grant.source, grant.plan] = got.pop(alias)
    for key in sorted({*true, *got}):
        if true.get(key) != got.get(key):
            yield f"grant {key}: {got.get(key)}, not {true.get(key)}"


def _keys(end: End) -> list[tuple[str, str, str]]:
    return [(grant.user, grant.source, grant.plan) for grant in end.grants]


def _money(end: End, found: Ending) -> Iterator[str]:
    got = {key[1]: value for key, value in found.money.items() if key[0] == end.realm}
    for row in end.money:
        there = got.pop(row.ref, None)
        true = (row.user, row.received, row.refunded, row.currency, row.dispute)
        if there is None or there[:5] != true:
            yield f"payment {row.ref}: {there and there[:5]}, not {true}"
        elif row.at is not None and there[5] != row.at:
            yield f"payment {row.ref} is dated {there[5]}, not {row.at}"
    for ref, row_found in got.items():
        yield f"payment {ref}: {row_found[:5]}, but there is none"


def bank_differences(world: World) -> list[str]:
    """Return where the truth differs from the bank, in a world whose endpoint heard everything."""
    found = []
    for account, end in zip(world.accounts, world.ends, strict=False):
        if account.missed:
            continue
        banked = {ref: tuple(sums) for ref, sums in account.banked.items() if sums[0]}
        true = {row.ref: (row.received, row.refunded) for row in end.money}
        if banked != true:
            wrong = sorted(set(banked.items()) ^ set(true.items()))
            found.append(f"the truth is not what the bank saw: {wrong}")
    return found


def scenario_differences(name: str, world: World) -> list[str]:
    """Return where the truth of a named scenario differs from what its report must end in."""
    (end,), expected = world.ends, SCENARIOS[name]
    paid: dict[str, tuple[int, int]] = {}
    for row in end.money:
        received, back = paid.get(row.user or "", (0, 0))
        paid[row.user or ""] = received + row.received, back + row.refunded
    found = []
    if dict(end.features) != dict(expected.features):
        found.append(f"the truth says {dict(end.features)}, not {dict(expected.features)}")
    if paid != dict(expected.paid):
        found.append(f"the truth counts {paid}, not {dict(expected.paid)}")
    return found
