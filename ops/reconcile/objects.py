"""Compare Stripe's objects with ours, both ways: read its lists, then look again a minute later.

    read        every page of its lists: what differs is a candidate, kept with the page
    missing     subscriptions and payments of ours that no list showed are candidates, too
    look again  after one minute for all of them: each is asked for by id, and those of one customer
                are compared together; what still differs stands, unless an event of it is not
                applied yet

A run that was killed goes on with the page after the last one it kept.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import sqlalchemy as sa

from billing.fetching.observations import ApiObservation, Name
from billing.fetching.record import FetchTarget
from billing.readers.registry import read_unasked
from models.tables import Membership, StripeRunDifference
from ops.reconcile.classify import ObjectDifference
from ops.reconcile.compare import Compared, Comparison, ShownObject
from ops.reconcile.differences import (
    Difference,
    DifferenceClass,
    DifferenceState,
    read_differences,
    write_differences,
)
from ops.reconcile.groups import together
from ops.reconcile.missing_events import EVENT
from ops.reconcile.shown import ObjectScope, keep_page, not_shown
from ops.reconcile.standing import SEEN_ONCE, SecondLook, digest_of, judge, undecided
from ops.reconcile.surroundings import Surroundings
from ops.reconcile.waiting import unapplied_events
from ops.stripe_runs.asking import PatientApi
from ops.stripe_runs.lists import (
    CUSTOMERS,
    OBJECT_LISTS,
    SUBSCRIPTIONS,
    Span,
    StripeList,
    page_request,
)
from ops.stripe_runs.pages import ListPage
from ops.stripe_runs.runs import OpenRun
from ops.stripe_runs.walk import ListReading, Walk
from runtime.database.one_of import one_of
from runtime.stripe_api.errors import ApiForbidden

SECOND_LOOK_SECONDS: Final = 60
"""Between the two looks at what differs: an event takes Stripe and Paidup seconds."""

MOST_CANDIDATES: Final = 2000
"""Objects that are asked for one by one. With more, a backfill is the remedy."""

_SLICE_SECONDS: Final = 5
"""Between two renewals of the lease while a run waits."""

_WHOLE: Final = (CUSTOMERS, SUBSCRIPTIONS)
"""The lists that are read whole: these objects change long after they were made."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Looked:
    """The result of the second look.

    ``standing`` are the differences that a repair may record, with the objects as they were shown
    then; ``found`` are all of them as they are stored.
    """

    found: tuple[Difference, ...]
    standing: tuple[ObjectDifference, ...] = ()
    shown: Mapping[Name, ShownObject] = field(default_factory=dict)


class ObjectPart:
    """The part of a run that compares objects; ``not_compared`` says what it left out, and why."""

    def __init__(self, around: Surroundings, run: OpenRun, scope: ObjectScope) -> None:
        self.not_compared: list[str] = []
        self._readable: set[str] = set()
        self._around = around
        self._run = run
        self._scope = scope
        self._comparison = Comparison(around.engine, around.ledger, scope.realm)

    def read(self) -> bool:
        """Read the lists, and keep what differs as seen once; False if a person stopped it."""
        walk = Walk(
            self._around.engine,
            self._run,
            [*self._readings()],
            make_api=self._around.make_api,
            account=self._around.account,
            is_stopping=self._around.is_stopping,
        )
        for page in walk.pages():
            self._take(walk, page)
        for left in walk.unread:
            self.not_compared.append(f"a part of {left.list}: {left.reason}")
        return not self._around.is_stopping()

    def find_unknown(self) -> None:
        """Ask for what we have and no list showed; keep what differs as seen once."""
        api = self._around.patient_api()
        with self._around.engine.connect() as connection:
            names = not_shown(connection, self._run.id, self._scope, MOST_CANDIDATES + 1)
        if len(names) > MOST_CANDIDATES:
            self.not_compared.append(
                f"more than {MOST_CANDIDATES} subscriptions and payments are here that no list of"
                " Stripe showed: is STRIPE_API_KEY of another account?"
            )
        readable = [each for each in names[:MOST_CANDIDATES] if each[0] in self._readable]
        asked = [*self._fetched(api, readable)]
        compared = self._comparison.of_list(asked)
        gone = [each for each in asked if each.observation.gone]
        found = [*_candidates(compared, asked), *map(_unknown, gone)]
        self._keep(api, found)

    def look_again(self) -> Looked:
        """Wait a minute, ask for each candidate again, and say what stands."""
        candidates = self._seen_once()
        if not candidates:
            return Looked(found=())
        self._wait(SECOND_LOOK_SECONDS)
        api = self._around.patient_api()
        shown = [*self._fetched(api, [(each.family, each.name) for each in candidates])]
        seen = {each.name: _digest(each) for each in candidates}
        changed = {each.name for each in shown if digest_of(each.facts) != seen[each.name[1]]}
        compared = self._compared_by_customer(shown)
        looked = self._judged(compared, frozenset(changed), shown)
        self._keep(api, looked.found, instead_of_candidates=True)
        return looked

    def _readings(self) -> Iterator[ListReading]:
        """Yield each list that the key may read, with the span that the scope has of it."""
        api = self._around.patient_api()
        since = self._scope.since
        for each in OBJECT_LISTS:
            if self._may_read(api, each):
                self._readable.add(each.family)
                oldest = int(since.timestamp()) if since and each not in _WHOLE else None
                yield ListReading(list=each, spans=(Span(oldest=oldest),))
        self._run.requests += api.sent

    def _may_read(self, api: PatientApi, wanted: StripeList) -> bool:
        try:
            api.ask(page_request(wanted, Span(), size=1))
        except ApiForbidden as refused:
            if not refused.rights:
                raise
            self.not_compared.append(f"{wanted.name}: {refused}")
            return False
        return True

    def _take(self, walk: Walk, page: ListPage) -> None:
        shown = [self._read(each) for each in page.observations()]
        found = _candidates(self._comparison.of_list(shown), shown)
        with self._around.engine.begin() as connection:
            keep_page(connection, self._run.id, shown)
            write_differences(connection, self._run.id, found)
            walk.save(connection)

    def _read(self, observation: ApiObservation) -> ShownObject:
        return ShownObject(
            observation=observation, facts=read_unasked(self._scope.realm, observation)
        )

    def _fetched(self, api: PatientApi, names: Iterable[Name]) -> Iterator[ShownObject]:
        """Yield each object as Stripe shows it by itself, and renew the lease meanwhile."""
        for position, (family, stripe_id) in enumerate(names):
            if position % _SLICE_SECONDS == 0:
                self._beat()
            target = FetchTarget(family=family, stripe_id=stripe_id)
            yield from map(self._read, api.fetch((target,)))

    def _seen_once(self) -> list[Difference]:
        with self._around.engine.connect() as connection:
            moving = read_differences(connection, self._run.id, states=(DifferenceState.MOVING,))
        candidates = [each for each in moving if each.family != EVENT]
        if len(candidates) > MOST_CANDIDATES:
            self.not_compared.append(
                f"{len(candidates) - MOST_CANDIDATES} objects differ that were not looked at"
                " twice: with so many, run `paidup backfill` first"
            )
        return candidates[:MOST_CANDIDATES]

    def _compared_by_customer(self, shown: Sequence[ShownObject]) -> list[Compared]:
        keys = {key for each in shown for key in each.keys(self._scope.realm)}
        query = sa.select(Membership.object_key, Membership.party).where(
            one_of(Membership.object_key, keys)
        )
        with self._around.engine.connect() as connection:
            parties: dict[str, str] = dict(connection.execute(query).tuples())
        named = [(each, each.keys(self._scope.realm)) for each in shown]
        gone = frozenset(each.name[1] for each in shown if each.observation.gone)
        return [
            self._comparison.together(group, running=gone) for group in together(named, parties)
        ]

    def _judged(
        self, compared: Sequence[Compared], changed: frozenset[Name], shown: Iterable[ShownObject]
    ) -> Looked:
        differences = [each for one in compared for each in one.differences]
        ids = {name for each in differences for _, name in (*each.objects, each.name)}
        with self._around.engine.connect() as connection:
            events = unapplied_events(connection, self._around.inbox, ids)
        look = SecondLook(changed=changed, unapplied=events)
        judged = [(each, judge(each, look)) for each in differences]
        held = [undecided(name) for one in compared for name in one.undecided]
        return Looked(
            found=(*(stored for _, stored in judged), *held),
            standing=tuple(
                each for each, stored in judged if stored.state is DifferenceState.STANDS
            ),
            shown={each.name: each for each in shown},
        )

    def _keep(
        self,
        api: PatientApi,
        found: Iterable[Difference],
        *,
        instead_of_candidates: bool = False,
    ) -> None:
        self._run.requests += api.sent
        with self._around.engine.begin() as connection:
            if instead_of_candidates:
                connection.execute(_forget_candidates(self._run.id))
            write_differences(connection, self._run.id, found)
            self._run.beat(connection)

    def _wait(self, seconds: int) -> None:
        for _ in range(0, seconds, _SLICE_SECONDS):
            self._beat()
            self._around.pause(_SLICE_SECONDS)

    def _beat(self) -> None:
        with self._around.engine.begin() as connection:
            self._run.beat(connection)


def _candidates(compared: Compared, shown: Sequence[ShownObject]) -> list[Difference]:
    """Return each object that shows a difference, to be asked for again."""
    by_name = {each.name: each for each in shown}
    found = [
        _candidate(by_name[name], each.classed, each.customer_id, each.user_id)
        for each in compared.differences
        for name in each.objects
    ]
    held = [by_name[name] for name in compared.undecided]
    return found + [_candidate(each, DifferenceClass.STALE_HERE) for each in held]


def _unknown(shown: ShownObject) -> Difference:
    return _candidate(shown, DifferenceClass.UNKNOWN_THERE)


def _candidate(
    shown: ShownObject,
    classed: DifferenceClass,
    customer_id: str | None = None,
    user_id: str | None = None,
) -> Difference:
    family, stripe_id = shown.name
    return Difference(
        name=stripe_id,
        family=family,
        classed=classed,
        state=DifferenceState.MOVING,
        says=SEEN_ONCE,
        stripe_customer_id=customer_id,
        user_id=user_id,
        theirs={"digest": digest_of(shown.facts)},
    )


def _digest(candidate: Difference) -> str:
    return str(candidate.theirs["digest"]) if candidate.theirs else ""


def _forget_candidates(run: int) -> sa.Delete:
    return sa.delete(StripeRunDifference).where(
        StripeRunDifference.run == run,
        StripeRunDifference.state == DifferenceState.MOVING,
        StripeRunDifference.family != EVENT,
    )
