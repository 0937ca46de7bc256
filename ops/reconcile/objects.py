"""Compare Stripe's objects with ours, both ways: read its lists, then look again a minute later.

    read        every page of its lists: what differs is a candidate, kept with the page
    missing     subscriptions and payments of ours that no list showed are candidates, too
    look again  after one minute for all of them: each is asked for by id, and those of one customer
                are compared together; what still differs stands, unless an event of it is not
                applied yet. Of one customer at once, where no event of the last minute is about it

A run that was killed goes on with the page after the last one it kept.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from typing import Final

from billing.fetching.observations import ApiObservation, Name
from billing.fetching.record import FetchTarget
from ops.reconcile.compare import ComparedObjects, Comparison, ShownObject
from ops.reconcile.course import ComparisonRun, PartEnded
from ops.reconcile.customer_objects import CustomerObjects
from ops.reconcile.differences import (
    DifferenceClass,
    DifferenceState,
    FoundDifference,
    forget_differences,
    seen_once,
    write_differences,
)
from ops.reconcile.looked import Looked
from ops.reconcile.recent_events import changed_within
from ops.reconcile.repair import Repair, preview_repair
from ops.reconcile.shown import (
    NoCustomer,
    ObjectScope,
    UnknownCustomer,
    customers_of,
    is_known,
    keep_page,
    not_shown,
)
from ops.reconcile.standing import (
    SEEN_ONCE,
    SecondLook,
    digest_of,
    in_words,
    restate,
    undecided,
)
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
from ops.stripe_runs.same_account import prove_account
from ops.stripe_runs.walk import ListReading, Walk
from ops.terminal.formats import format_count
from ops.terminal.interrupt import Interrupted
from runtime.ledger.deployment import ledger_of
from runtime.ledger.record import Ledger
from runtime.stripe_api.errors import ApiForbidden

SECOND_LOOK_SECONDS: Final = 60
"""Between the two looks at what differs: an event takes Stripe and Paidup seconds."""

MOST_CANDIDATES: Final = 2000
"""Objects that are asked for one by one. With more, a backfill is the remedy."""

_WHOLE: Final = (CUSTOMERS, SUBSCRIPTIONS)
"""The lists that are read whole: these objects change long after they were made."""


def compare_objects(course: ComparisonRun) -> PartEnded:
    """Compare all objects, or those of one customer or user, and repair them if that is wanted.

    Raises:
        ApiFailure: Stripe refuses the key.
        Interrupted: a person asked to stop.
        NoCustomer: the user has no customer in this account.
        OtherAccount: the key is not that of the account whose events are here.
        UnknownCustomer: neither side knows the customer.
        RunLost: the run was cancelled, or another process has it.
    """
    ledger = ledger_of(course.settings, course.engine)
    comparison = ObjectComparison(course, ledger, scope_of(course))
    comparison.prove_account()
    comparison.read()
    comparison.find_unknown()
    looked = comparison.look_again()
    if looked.standing and course.wish.applies_objects:
        for each in preview_repair(looked):
            course.tell(f"repairs {each.name} of user {each.user_id or 'unknown'}: {each.says}")
        Repair(course, ledger, looked).record()
    return PartEnded(
        agreed={},
        not_compared=tuple(comparison.not_compared),
        unread=tuple(comparison.unread),
    )


def scope_of(course: ComparisonRun) -> ObjectScope:
    """Return the objects that a run compares.

    Raises:
        NoCustomer: the user has no customer in this account.
    """
    wish, realm = course.wish, course.account.realm
    first = wish.first
    since = None if first is None else datetime.combine(first, time(), UTC)
    if wish.customer is not None:
        return ObjectScope(realm=realm, customers=(wish.customer,))
    if wish.user is None:
        return ObjectScope(realm=realm, since=since)
    with course.engine.connect() as connection:
        customers = customers_of(connection, realm, wish.user)
    if not customers:
        raise NoCustomer(wish.user, realm)
    return ObjectScope(realm=realm, customers=customers)


class ObjectComparison:
    """The comparison of one run.

    ``not_compared`` says what it left out and why, ``unread`` what Stripe did not answer.
    """

    def __init__(self, course: ComparisonRun, ledger: Ledger, scope: ObjectScope) -> None:
        self.not_compared: list[str] = []
        self.unread: list[str] = []
        self._course = course
        self._scope = scope
        self._comparison = Comparison(course.engine, ledger, scope.realm)
        self._readable: set[str] = set()

    def prove_account(self) -> None:
        """Make sure that the key is that of the account whose events are here.

        Raises:
            OtherAccount: it is not.
        """
        api = self._patient_api()
        prove_account(self._course.engine, api)
        self._course.run.requests += api.sent

    def read(self) -> None:
        """Read the lists, and keep what differs as seen once.

        Raises:
            Interrupted: a person asked to stop.
        """
        if self._scope.customers:
            self._read_customers()
        else:
            self._walk()

    def _read_customers(self) -> None:
        api = self._patient_api()
        customer_objects = CustomerObjects(api)
        shown = [
            self._read(each)
            for customer in self._scope.customers
            for each in customer_objects.of(customer)
        ]
        self._refuse_unknown(shown)
        self.not_compared += customer_objects.refused
        self._readable = customer_objects.readable
        found = _candidates(self._comparison.of_list(shown), shown)
        with self._course.engine.begin() as connection:
            keep_page(connection, self._course.run.id, shown)
        self._keep(api, found)

    def _refuse_unknown(self, shown: Iterable[ShownObject]) -> None:
        """Raise UnknownCustomer if a person named a customer of whom nothing is anywhere."""
        customer = self._course.wish.customer
        if customer is None or not all(each.observation.gone for each in shown):
            return
        with self._course.engine.connect() as connection:
            if not is_known(connection, self._scope.realm, customer):
                raise UnknownCustomer(customer, self._scope.realm)

    def _walk(self) -> None:
        walk = Walk(
            self._course.engine,
            self._course.run,
            [*self._readings()],
            make_api=self._course.make_api,
            account=self._course.account,
            is_stopping=self._course.is_stopping,
        )
        for page in walk.pages():
            self._take(walk, page)
        if self._course.is_stopping():
            raise Interrupted
        self.unread += [f"{left.list}: {left.reason}" for left in walk.unread]

    def find_unknown(self) -> None:
        """Ask for what we have and no list showed; keep it, and what differs as seen once."""
        api = self._patient_api()
        with self._course.engine.connect() as connection:
            names = not_shown(connection, self._course.run.id, self._scope, MOST_CANDIDATES + 1)
        if len(names) > MOST_CANDIDATES:
            self.not_compared.append(
                f"more than {MOST_CANDIDATES} subscriptions and payments are here that no list of"
                " Stripe showed: is STRIPE_API_KEY of another account?"
            )
        readable = [each for each in names[:MOST_CANDIDATES] if each[0] in self._readable]
        asked = [*self._fetched(api, readable)]
        compared = self._comparison.of_list(asked)
        gone = [each for each in asked if each.observation.gone]
        unknown = [_candidate(each, DifferenceClass.UNKNOWN_THERE) for each in gone]
        found = [*_candidates(compared, asked), *unknown]
        self._keep(api, found, shown=[each for each in asked if not each.observation.gone])

    def look_again(self) -> Looked:
        """Wait a minute, ask for each candidate again, and say what stands.

        Of one customer it need not wait where Stripe lists no event of the last minute about them.
        """
        candidates = self._seen_once()
        if not candidates:
            return Looked()
        api = self._patient_api()
        if not self._scope.customers or self._are_moving(api, candidates):
            self._tell(candidates)
            self._course.pause(SECOND_LOOK_SECONDS)
        shown = [*self._fetched(api, [(each.family, each.name) for each in candidates])]
        seen = {each.name: _digest(each) for each in candidates}
        changed = {each.name for each in shown if digest_of(each.facts) != seen[each.name[1]]}
        compared = self._compared_by_customer(shown)
        looked = self._restated(compared, frozenset(changed), shown)
        self._keep(api, looked.found, instead_of=candidates)
        return looked

    def _are_moving(self, api: PatientApi, candidates: Sequence[FoundDifference]) -> bool:
        within = timedelta(seconds=SECOND_LOOK_SECONDS)
        names = {each.name for each in candidates}
        return changed_within(api, names, within, self._course.pause)

    def _readings(self) -> Iterator[ListReading]:
        """Yield each list that the key may read, with the span that the scope has of it."""
        api = self._patient_api()
        since = self._scope.since
        for each in OBJECT_LISTS:
            if self._may_read(api, each):
                self._readable.add(each.family)
                oldest = int(since.timestamp()) if since and each not in _WHOLE else None
                yield ListReading(list=each, spans=(Span(oldest=oldest),))
        self._course.run.requests += api.sent

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
        with self._course.engine.begin() as connection:
            keep_page(connection, self._course.run.id, shown)
            write_differences(connection, self._course.run.id, found)
            walk.save(connection)

    def _read(self, observation: ApiObservation) -> ShownObject:
        return ShownObject.read(self._scope.realm, observation)

    def _fetched(self, api: PatientApi, names: Iterable[Name]) -> Iterator[ShownObject]:
        """Yield each object as Stripe shows it by itself, and renew the lease meanwhile."""
        for family, stripe_id in names:
            self._course.pause(0)
            target = FetchTarget(family=family, stripe_id=stripe_id)
            yield from map(self._read, api.fetch((target,)))

    def _seen_once(self) -> list[FoundDifference]:
        """Return the candidates, as many of them as are looked at again."""
        with self._course.engine.connect() as connection:
            number, candidates = seen_once(connection, self._course.run.id, MOST_CANDIDATES)
        if number > len(candidates):
            self.not_compared.append(
                f"{number - len(candidates)} objects differ that were not looked at twice: with so"
                " many, run `paidup backfill` first"
            )
        return candidates

    def _compared_by_customer(self, shown: Sequence[ShownObject]) -> list[ComparedObjects]:
        gone = frozenset(each.name[1] for each in shown if each.observation.gone)
        return [
            self._comparison.together(group, running=gone)
            for group in self._comparison.by_customer(shown)
        ]

    def _restated(
        self,
        compared: Sequence[ComparedObjects],
        changed: frozenset[Name],
        shown: Iterable[ShownObject],
    ) -> Looked:
        differences = [each for one in compared for each in one.differences]
        ids = {name for each in differences for _, name in (*each.objects, each.name)}
        with self._course.engine.connect() as connection:
            events = unapplied_events(connection, self._course.inbox, ids)
        look = SecondLook(changed=changed, unapplied=events)
        restated = [(each, restate(each, look)) for each in differences]
        moving = {
            name
            for each, stored in restated
            if stored.state is not DifferenceState.STANDS
            for name in each.objects
        }
        held = [undecided(name) for one in compared for name in one.undecided]
        return Looked(
            found=(*(stored for _, stored in restated), *held),
            standing=tuple(
                each for each, stored in restated if stored.state is DifferenceState.STANDS
            ),
            moving=frozenset(moving),
            shown={each.name: each for each in shown},
        )

    def _keep(
        self,
        api: PatientApi,
        found: Iterable[FoundDifference],
        *,
        instead_of: Sequence[FoundDifference] = (),
        shown: Sequence[ShownObject] = (),
    ) -> None:
        self._course.run.requests += api.sent
        with self._course.engine.begin() as connection:
            if shown:
                keep_page(connection, self._course.run.id, shown)
            forget_differences(connection, self._course.run.id, instead_of)
            write_differences(connection, self._course.run.id, found)
            self._course.run.beat(connection)

    def _tell(self, candidates: Sequence[FoundDifference]) -> None:
        """Say that the run looks again; of one customer, also what differs so far."""
        if self._scope.customers:
            for each in candidates:
                self._course.tell(f"{each.name}: {each.says}")
        number = format_count(len(candidates), "object")
        self._course.tell(f"{number} may differ: Stripe is asked again in a minute")

    def _patient_api(self) -> PatientApi:
        return PatientApi(self._course.make_api(), self._course.account, self._course.pause)


def _candidates(compared: ComparedObjects, shown: Sequence[ShownObject]) -> list[FoundDifference]:
    """Return each object that shows a difference, to be asked for again."""
    by_name = {each.name: each for each in shown}
    found = [
        replace(
            _candidate(by_name[name], each.classed),
            says=f"{in_words(each)}; {SEEN_ONCE}",
            stripe_customer_id=each.customer_id,
            user_id=each.user_id,
        )
        for each in compared.differences
        for name in each.objects
    ]
    held = [by_name[name] for name in compared.undecided]
    return found + [_candidate(each, DifferenceClass.STALE_HERE) for each in held]


def _candidate(shown: ShownObject, classed: DifferenceClass) -> FoundDifference:
    family, stripe_id = shown.name
    return FoundDifference(
        name=stripe_id,
        family=family,
        classed=classed,
        state=DifferenceState.MOVING,
        says=SEEN_ONCE,
        theirs={"digest": digest_of(shown.facts)},
    )


def _digest(candidate: FoundDifference) -> str:
    return str(candidate.theirs["digest"]) if candidate.theirs else ""
