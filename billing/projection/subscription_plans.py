"""The plans that the items of a subscription stand for, at each stage of its past.

An item stands for the plan that its names stand for. A running subscription may change to a price
that is in no plan, because the catalogue was not updated yet or by a mistake. By default
(``[policy] unknown_price``) its holder keeps what the item, else the subscription, was for
before, and the price is named as unsold.
"""

from collections.abc import Sequence
from itertools import chain
from typing import NamedTuple

from billing.catalogue import Plan, PolicyAction
from billing.objects.subscriptions import ItemRun, SoldItem
from billing.projection.plan_lookup import HeldPlan, PlanLookup, add_up
from billing.rows import NoGrant


class RunPlans(NamedTuple):
    """The plans that one run of items stands for.

    ``entitled`` are the places of the items that stand for a plan. ``without_grant`` are the names
    of items in no plan, with the reason; those that stand for what they were for before are
    ``kept``.
    """

    held: tuple[HeldPlan, ...]
    entitled: tuple[int, ...]
    without_grant: tuple[tuple[str, NoGrant], ...]

    @property
    def kept(self) -> tuple[str, ...]:
        """The names of items that stand for what they were for before."""
        return tuple(name for name, why in self.without_grant if why is NoGrant.KEPT_PRICE)


class _Meaning(NamedTuple):
    """A plan in the item's own quantity, or all that the subscription was for before."""

    plan: Plan | None = None
    inherited: tuple[HeldPlan, ...] = ()

    def held(self, item: SoldItem) -> tuple[HeldPlan, ...]:
        """Return the plans in the item's quantity; of an item of quantity 0 nothing is sold."""
        if item.quantity == 0:
            return ()
        return (HeldPlan(self.plan, item.quantity),) if self.plan else self.inherited


_NOTHING = _Meaning()


def plans_of_runs(runs: Sequence[ItemRun], lookup: PlanLookup) -> list[RunPlans]:
    """Return the plans of each run of a subscription, by one catalogue.

    ``metadata.plan_code`` speaks only if no catalogue ever knew any item of any run: it is a copy
    that stays where it is when the price changes.
    """
    if not any(lookup.knew(item.names) for run in runs for item in run.items):
        return [_by_metadata(run, lookup) for run in runs]
    keep = lookup.catalogue.policy.unknown_price is PolicyAction.KEEP
    meanings: dict[str | None, _Meaning] = {}
    found: list[RunPlans] = []
    for run in runs:
        before = found[-1].held if found and keep else ()
        meant = _meanings(run.items, lookup, meanings if keep else {}, before)
        meanings.update((item.id, meaning) for item, meaning in zip(run.items, meant, strict=True))
        found.append(_run_plans(run.items, meant, lookup))
    return found


def _by_metadata(run: ItemRun, lookup: PlanLookup) -> RunPlans:
    """Return the plan that the metadata names, once for each seat of any item."""
    plan = lookup.catalogue.plan_by_code(run.plan_code)
    if plan is None:
        return _run_plans(run.items, [_NOTHING] * len(run.items), lookup)
    seats = sum(item.quantity for item in run.items) if run.items else 1
    everything = tuple(range(len(run.items)))
    return RunPlans(held=(HeldPlan(plan, seats),), entitled=everything, without_grant=())


def _meanings(
    items: Sequence[SoldItem],
    lookup: PlanLookup,
    meanings: dict[str | None, _Meaning],
    before: tuple[HeldPlan, ...],
) -> list[_Meaning]:
    """Return what each item stands for, by its names, its own past or the subscription's."""
    plans = [lookup.plan_by_names(item.names) for item in items]
    if all(plans):  # the usual case
        return [_Meaning(plan) for plan in plans]
    known = [lookup.knows(item.names) for item in items]
    found = [
        _Meaning(plan) if is_known else _past(item, meanings)
        for item, plan, is_known in zip(items, plans, known, strict=True)
    ]
    pairs = list(zip(items, found, strict=True))
    decided = any(
        is_known and not _grants_nothing_still(item, meaning, meanings)
        for is_known, (item, meaning) in zip(known, pairs, strict=True)
    )
    if not decided and not any(meaning and meaning.held(item) for item, meaning in pairs):
        new = (place for place, (i, meaning) in enumerate(pairs) if meaning is None and i.quantity)
        if (replacing := next(new, None)) is not None:
            found[replacing] = _Meaning(inherited=before)
    return [meaning or _NOTHING for meaning in found]


def _grants_nothing_still(
    item: SoldItem, meaning: _Meaning | None, meanings: dict[str | None, _Meaning]
) -> bool:
    """Return True for an item that granted nothing before either: a usage price, for example."""
    return meaning == _NOTHING and _past(item, meanings) == _NOTHING


def _past(item: SoldItem, meanings: dict[str | None, _Meaning]) -> _Meaning | None:
    return meanings.get(item.id) if item.id else None


def _run_plans(
    items: Sequence[SoldItem], meant: Sequence[_Meaning], lookup: PlanLookup
) -> RunPlans:
    pairs = list(zip(items, meant, strict=True))
    held = [meaning.held(item) for item, meaning in pairs]
    noted = (_without_grant(item, meaning, lookup) for item, meaning in pairs if item.quantity)
    # What replaces a whole subscription ends with all the items that replace it.
    replaced = any(meaning.inherited for _, meaning in pairs)
    return RunPlans(
        held=add_up(chain.from_iterable(held)),
        entitled=tuple(place for place, plans in enumerate(held) if replaced or plans),
        without_grant=tuple(each for each in noted if each),
    )


def _without_grant(
    item: SoldItem, meaning: _Meaning, lookup: PlanLookup
) -> tuple[str, NoGrant] | None:
    """Return the most trusted name of an item in no plan, with the reason."""
    if lookup.plan_by_names(item.names):
        return None
    if on_purpose := lookup.catalogue.first_known(item.names):
        return on_purpose, NoGrant.NOTHING
    name = next(filter(None, item.names), None)
    if name is None:
        return None
    if meaning.held(item):
        return name, NoGrant.KEPT_PRICE
    return name, NoGrant.FORMER_PRICE if lookup.knew(item.names) else NoGrant.UNKNOWN_PRICE
