"""Repair what stands: record what Stripe shows, for a person who gave a reason.

What a payment is follows from several objects, so everything is read that Stripe has of the
customer, and recorded in one transaction, in which the ledger decides again. If it would then harm
a user whom the run did not show, nothing of it is recorded.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from sqlalchemy import Connection

from billing.fetching.observations import ApiObservation, Name
from ops.reconcile.classify import ObjectDifference
from ops.reconcile.compare import Comparison, ShownObject
from ops.reconcile.course import ComparisonRun
from ops.reconcile.customer_objects import CustomerObjects
from ops.reconcile.differences import DifferenceState, FoundDifference, write_differences
from ops.reconcile.groups import together
from ops.reconcile.looked import Looked
from ops.reconcile.standing import in_words, stored
from ops.stripe_runs.asking import PatientApi
from ops.stripe_runs.order import place_of
from runtime.ledger.effects import users_harmed
from runtime.ledger.errors import ObservationTaken
from runtime.ledger.observe import ObserveCause, ObservedChange, ObservedObject
from runtime.ledger.record import Ledger


@dataclass(frozen=True, slots=True, kw_only=True)
class RepairOfUser:
    """The effect of a repair on one user, in words; ``user_id`` is None if no user is known."""

    user_id: str | None
    name: str
    says: str


class UnshownUser(Exception):
    """A repair would harm users whom the run did not show."""

    def __init__(self, users: Iterable[str]) -> None:
        self.users = tuple(sorted(users))
        super().__init__(
            f"a repair would now also change {', '.join(self.users)}, whom this run did not show:"
            " run `paidup reconcile` again"
        )


def preview_repair(looked: Looked) -> list[RepairOfUser]:
    """Return what a repair would change, by user; a difference of two users stands at both."""
    found = [
        RepairOfUser(user_id=user, name=each.name[1], says=in_words(each))
        for each in looked.standing
        for user in sorted(each.users) or (None,)
    ]
    return sorted(found, key=lambda each: (each.user_id or "", each.name))


class Repair:
    """The repair of what a run found; ``reason`` is that of the person who wants it."""

    def __init__(self, course: ComparisonRun, ledger: Ledger, looked: Looked) -> None:
        self._course = course
        self._ledger = ledger
        self._looked = looked
        self._api = PatientApi(course.make_api(), course.account, course.pause)
        self._comparison = Comparison(course.engine, ledger, course.account.realm)
        self._shown = frozenset(
            name for each in looked.standing for name in (*each.users, *each.row_names)
        )

    def record(self) -> None:
        """Record everything that stands, and store how each difference is afterwards."""
        named = [(each, _names(each)) for each in self._looked.standing]
        for differences in together(named, {}):
            self._record_together(differences)
        self._course.run.requests += self._api.sent

    def _record_together(self, differences: Sequence[ObjectDifference]) -> None:
        done = [stored(each, DifferenceState.REPAIRED, in_words(each)) for each in differences]
        wish, objects = self._course.wish, self._objects_of(differences)
        cause = ObserveCause(actor=wish.actor, origin="reconcile", reason=wish.reason)

        def keep(connection: Connection) -> None:
            self._store(connection, done)

        try:
            self._ledger.observe(objects, cause, keep, self._refuse)
        except (UnshownUser, ObservationTaken) as error:
            left = [replace(each, state=DifferenceState.LEFT, says=str(error)) for each in done]
            with self._course.engine.begin() as connection:
                self._store(connection, left)

    def _objects_of(self, differences: Iterable[ObjectDifference]) -> list[ObservedObject]:
        """Return the objects that show these differences, and all others of their customers."""
        found: dict[Name, ShownObject] = {}
        for customer in sorted({each.customer_id for each in differences if each.customer_id}):
            self._course.pause(0)
            shown = [self._read(each) for each in CustomerObjects(self._api).of(customer)]
            found |= {each.name: each for each in self._comparison.telling(shown)}
        names = {name for each in differences for name in each.objects}
        found |= {name: self._looked.shown[name] for name in names if name not in found}
        kept = sorted(found.keys() - self._looked.moving, key=place_of)
        realm = self._course.account.realm
        return [ObservedObject(realm=realm, observation=found[name].observation) for name in kept]

    def _read(self, observation: ApiObservation) -> ShownObject:
        return ShownObject.read(self._course.account.realm, observation)

    def _refuse(self, changes: Sequence[ObservedChange]) -> None:
        """Refuse what harms a user whom the run did not show.

        Raises:
            UnshownUser: it does.
        """
        harmed = users_harmed(decision for each in changes for decision in each.decisions)
        if harmed - self._shown:
            raise UnshownUser(harmed - self._shown)

    def _store(self, connection: Connection, differences: Iterable[FoundDifference]) -> None:
        write_differences(connection, self._course.run.id, differences)
        self._course.run.beat(connection)


def _names(difference: ObjectDifference) -> list[str]:
    customer = difference.customer_id
    return [*(name for _, name in difference.objects), *([customer] if customer else [])]
