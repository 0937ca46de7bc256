"""Repair what stands: record the objects as Stripe showed them, for a person who gave a reason.

Everything of one customer is recorded in one transaction, in which the ledger decides again. If it
would then harm a user whom the run did not show, nothing of it is recorded.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from sqlalchemy import Connection

from ops.reconcile.classify import ObjectDifference
from ops.reconcile.compare import ShownObject
from ops.reconcile.differences import Difference, DifferenceState, write_differences
from ops.reconcile.groups import together
from ops.reconcile.objects import Looked
from ops.reconcile.standing import in_words, stored
from ops.reconcile.surroundings import Surroundings
from ops.stripe_runs.runs import OpenRun
from runtime.ledger.effects import users_harmed
from runtime.ledger.errors import ObservationTaken
from runtime.ledger.observe import ObserveCause, ObservedChange, ObservedObject


@dataclass(frozen=True, slots=True, kw_only=True)
class RepairedUser:
    """What a repair does to one user, in words; ``user_id`` is None if nobody is known."""

    user_id: str | None
    name: str
    says: str


class UnshownUser(Exception):
    """A repair would harm users whom the run did not show."""

    def __init__(self, users: Iterable[str]) -> None:
        self.users = tuple(sorted(users))
        super().__init__(
            f"it would now also change {', '.join(self.users)}, whom this run did not show:"
            " run `paidup reconcile` again"
        )


def preview_repair(looked: Looked) -> list[RepairedUser]:
    """Return what a repair would change, by user; a difference of two users stands at both."""
    found = [
        RepairedUser(user_id=user, name=each.name[1], says=in_words(each))
        for each in looked.standing
        for user in sorted(each.users) or (None,)
    ]
    return sorted(found, key=lambda each: (each.user_id or "", each.name))


def repair(
    around: Surroundings, run: OpenRun, looked: Looked, cause: ObserveCause
) -> list[Difference]:
    """Record what stands, and return each difference as it is afterwards."""
    shown = _shown_names(looked.standing)
    repaired: list[Difference] = []
    for differences in _of_one_customer(looked.standing):
        repaired += _repair_together(around, run, looked, (differences, shown), cause)
    return repaired


def _repair_together(
    around: Surroundings,
    run: OpenRun,
    looked: Looked,
    named: tuple[Sequence[ObjectDifference], frozenset[str]],
    cause: ObserveCause,
) -> list[Difference]:
    differences, shown = named
    objects = [looked.shown[name] for name in sorted({*_objects(differences)})]
    done = [stored(each, DifferenceState.REPAIRED, in_words(each)) for each in differences]

    def keep(connection: Connection) -> None:
        write_differences(connection, run.id, done)
        run.beat(connection)

    def refuse(changes: Sequence[ObservedChange]) -> None:
        harmed = users_harmed(decision for each in changes for decision in each.decisions)
        if harmed - shown:
            raise UnshownUser(harmed - shown)

    try:
        around.ledger.observe(_observed(around, objects), cause, keep, refuse)
    except (UnshownUser, ObservationTaken) as error:
        left = [replace(each, state=DifferenceState.LEFT, says=str(error)) for each in done]
        with around.engine.begin() as connection:
            write_differences(connection, run.id, left)
        return left
    return done


def _of_one_customer(differences: Sequence[ObjectDifference]) -> list[list[ObjectDifference]]:
    """Return the differences in groups that are recorded together."""
    return together([(each, _words(each)) for each in differences], {})


def _words(difference: ObjectDifference) -> list[str]:
    customer = difference.customer_id
    return [*(name for _, name in difference.objects), *([customer] if customer else [])]


def _objects(differences: Iterable[ObjectDifference]) -> Iterator[tuple[str, str]]:
    for each in differences:
        yield from each.objects


def _shown_names(differences: Iterable[ObjectDifference]) -> frozenset[str]:
    """Return the users of all differences, and the payments that stand for unknown ones."""
    return frozenset(name for each in differences for name in (*each.users, *each.row_names))


def _observed(around: Surroundings, objects: Iterable[ShownObject]) -> list[ObservedObject]:
    realm = around.account.realm
    return [ObservedObject(realm=realm, observation=each.observation) for each in objects]
