"""Recording: a list of events becomes rows in one transaction, or nothing is written.

    admit    which events are new; their rows in stripe_events are the authority
    secure   lock every party they touch, in order; a party is what belongs together
    load     all facts and rows of those parties
    decide   event by event in memory, for two seconds: add its facts, project, take the difference
    write    the decisions, the audit and the history of money

A preview leaves out the last step, and a rehearsal rolls it back. A batch of one and a batch of a
hundred write the same rows, because every event is projected and audited by itself. Only what of
them is in archives depends on where a batch ends.
"""

import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, TypeVar

from sqlalchemy import Connection, Engine, text

from billing.fetching.record import targets_from_text, targets_to_text
from billing.ids import PartyId
from billing.rows import Projection
from runtime.ledger.admit import note_fetched, resettle
from runtime.ledger.catalogues import CatalogueCache, CatalogueSource
from runtime.ledger.decide import DecidedBatch, DecideLimits, DeliveryState, Step, decide
from runtime.ledger.decisions import Decision
from runtime.ledger.deliveries import DISCARDED, REPLAY_SETTLED, Delivery, Outcome, Settlement
from runtime.ledger.effects import unnamed_in, users_harmed
from runtime.ledger.errors import (
    ArchivesNeeded,
    DeadLetterChanged,
    FactsOutdated,
    LocksOutOfOrder,
    UnnamedEffect,
)
from runtime.ledger.load_past import AT_ONCE, NOTHING_MORE, ArchiveRequest
from runtime.ledger.observe import (
    ObserveCause,
    ObservedChange,
    ObservedObject,
    decide_observed,
    prepare_observed,
    write_observed,
)
from runtime.ledger.observed import AskedFor, store_observations, with_stored_fetches
from runtime.ledger.prepare import Prepared, Scope, prepare
from runtime.ledger.statements import EndStatement, NewStatement, StatedChange, state
from runtime.ledger.write import ChangeCause, PendingWrites, audit_row, changes_in, write
from runtime.settings import Livemode
from runtime.time_limits import DECIDING_SECONDS, LOCK_SECONDS

MAX_TRIES: Final = 16
"""Tries of one batch. Each failed try means that another transaction committed.

Eight tries were too few once, for eight threads that connected the same parties in two batches
each.
"""

CHECK_DEFERRED: Final = text("SET CONSTRAINTS ALL IMMEDIATE")
"""Checks the constraints, and runs the triggers, that wait for a COMMIT."""

T = TypeVar("T")

ReadAgain = Callable[[Collection[PartyId]], object]
"""Read the events of these parties again with the present readers, and commit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryPreview:
    """The result that recording one delivery would have now."""

    event_id: str
    outcome: Outcome
    reason: str | None
    decisions: tuple[Decision, ...]
    hit: bool = False
    """The event is settled: delivering it again changes nothing."""
    projection: Projection | None = None
    """The projection of the party it concerns, if it concerns one."""
    catalogue_version: int


Preview = tuple[DeliveryPreview, ...]


class Ledger:
    """The only writer of events into the tables that applications and auditors read."""

    def __init__(
        self,
        engine: Engine,
        *,
        livemode: Livemode,
        accounts: frozenset[str],
        deciding_seconds: float = DECIDING_SECONDS,
        clock: Callable[[], float] = time.monotonic,
        catalogues: CatalogueSource | None = None,
        read_again: ReadAgain | None = None,
    ) -> None:
        """Bound the deciding of one transaction; ``clock`` is monotonic seconds.

        ``catalogues`` are those of the database unless others are given. ``read_again`` reads the
        events of parties again whose facts earlier readers wrote, in transactions of its own;
        without it such parties raise ``FactsOutdated``.
        """
        self._engine = engine
        self._limits = DecideLimits(deciding_seconds=deciding_seconds, clock=clock)
        self._scope = Scope(livemode=livemode, accounts=accounts)
        self._catalogues = catalogues or CatalogueCache()
        self._read_again = read_again

    def record(
        self, deliveries: Sequence[Delivery], lock_seconds: float = LOCK_SECONDS
    ) -> list[Settlement]:
        """Settle these events and return a settlement for each, in their order.

        Events that could not be decided in time have no settlement: they are as before. The first
        one always has one. Any exception means that none was settled. Each wait for a lock lasts
        at most ``lock_seconds``.

        Raises:
            LedgerError: for the reasons named in ``runtime.ledger.errors``.
            UnreadableEvent: one of them is new and its body does not tell what it is about.
        """
        return self._persistently(
            lambda request: self._record(self._prepared(deliveries), lock_seconds, request)
        )

    def preview(
        self, deliveries: Sequence[Delivery], lock_seconds: float = LOCK_SECONDS
    ) -> Preview:
        """Return what ``record`` would do now; take its locks and roll its writes back."""
        return self._persistently(
            lambda request: self._preview(
                self._prepared(deliveries), lock_seconds, request | AT_ONCE
            )
        )

    def rehearse(
        self,
        deliveries: Sequence[Delivery],
        then: Callable[[Connection], None] = lambda _: None,
        *,
        lock_seconds: float = LOCK_SECONDS,
    ) -> list[Settlement]:
        """Do all that ``record`` does, writes included, and roll it back.

        ``then`` may write more in the same transaction. Deferred constraints are checked after it,
        as a COMMIT would.
        """
        prepared = self._prepared(deliveries)
        limits = DecideLimits(lock_seconds=lock_seconds)
        with self._engine.connect() as connection:
            decided = decide(connection, prepared, self._catalogues, limits)
            _write(connection, decided)
            then(connection)
            connection.execute(CHECK_DEFERRED)
            connection.rollback()
        return [_settlement(step, decided) for step in decided.steps]

    def state(
        self,
        connection: Connection,
        new: Sequence[NewStatement | EndStatement],
        *,
        at_once: bool = False,
    ) -> list[StatedChange]:
        """Record what a person states in a transaction of ``transact`` or ``try_out``.

        With ``at_once`` the archives of a long past are changed, too, and not later in steps.

        Raises:
            StatementRefused: it cannot be true, or was taken back already.
        """
        return state(connection, new, self._catalogues, at_once=at_once)

    def observe(
        self,
        observed: Sequence[ObservedObject],
        cause: ObserveCause,
        then: Callable[[Connection], None] = lambda _: None,
        refuse: Callable[[Sequence[ObservedChange]], None] = lambda _: None,
    ) -> list[ObservedChange]:
        """Record objects that Stripe's API showed for no event, and return what follows from each.

        ``refuse`` gets what follows, and gets it again if the transaction is tried again; it may
        raise because of it. ``then`` may write more in the same transaction, after that. Any
        exception means that nothing was written.

        Raises:
            RealmExcluded: this deployment does not count the account or the mode of one of them.
            ObservationTaken: Stripe showed one of them differently within one second; ask again.
        """
        prepared = [prepare_observed(each, self._scope) for each in observed]

        def attempt(request: ArchiveRequest) -> list[ObservedChange]:
            with self._engine.begin() as connection:
                decided = decide_observed(connection, prepared, self._catalogues, request)
                refuse(decided.changes)
                then(connection)
                write_observed(connection, decided, cause)
                return list(decided.changes)

        return self._persistently(attempt)

    def preview_observed(self, observed: Sequence[ObservedObject]) -> list[ObservedChange]:
        """Return what ``observe`` would do now; take its locks and roll its writes back.

        Each object is decided after those before it, so that one knows what it changes.

        Raises:
            RealmExcluded: this deployment does not count the account or the mode of one of them.
        """
        prepared = [prepare_observed(each, self._scope) for each in observed]

        def attempt(request: ArchiveRequest) -> list[ObservedChange]:
            with self._engine.connect() as connection:
                at_once = request | AT_ONCE
                decided = decide_observed(
                    connection, prepared, self._catalogues, at_once, one_by_one=True
                )
                connection.rollback()
                return list(decided.changes)

        return self._persistently(attempt)

    def transact(self, work: Callable[[Connection], T]) -> T:
        """Do work in a transaction, again when another one got in between, and commit it."""

        def attempt(_: ArchiveRequest) -> T:
            with self._engine.begin() as connection:
                return work(connection)

        return self._persistently(attempt)

    def try_out(self, work: Callable[[Connection], T]) -> T:
        """Do work in a transaction, again when another one got in between, and roll it back."""

        def attempt(_: ArchiveRequest) -> T:
            with self._engine.connect() as connection:
                done = work(connection)
                connection.execute(CHECK_DEFERRED)
                connection.rollback()
                return done

        return self._persistently(attempt)

    def _persistently(self, attempt: Callable[[ArchiveRequest], T]) -> T:
        """Call ``attempt`` again when another transaction got in between; it then sees its writes.

        Parties with facts of earlier readers are read again before the next try, and archives that
        turned out to be needed are asked for in it.
        """
        request = NOTHING_MORE
        for _ in range(MAX_TRIES - 1):
            try:
                return attempt(request)
            except (LocksOutOfOrder, DeadLetterChanged):
                continue
            except ArchivesNeeded as needed:
                request |= ArchiveRequest(
                    whole=needed.whole, changed=needed.changed, keys=needed.keys
                )
            except FactsOutdated as outdated:
                if self._read_again is None:
                    raise
                self._read_again(outdated.parties)
        return attempt(request)

    def _prepared(self, deliveries: Sequence[Delivery]) -> list[Prepared]:
        return prepare(with_stored_fetches(self._engine, deliveries), self._scope)

    def _record(
        self, prepared: Sequence[Prepared], lock_seconds: float, request: ArchiveRequest
    ) -> list[Settlement]:
        limits = replace(self._limits, lock_seconds=lock_seconds)
        with self._engine.begin() as connection:
            decided = decide(connection, prepared, self._catalogues, limits, request)
            _refuse_unnamed(connection, decided.steps)
            _write(connection, decided)
            return [_settlement(step, decided) for step in decided.steps]

    def _preview(
        self, prepared: Sequence[Prepared], lock_seconds: float, request: ArchiveRequest
    ) -> Preview:
        limits = DecideLimits(lock_seconds=lock_seconds)
        with self._engine.connect() as connection:
            decided = decide(connection, prepared, self._catalogues, limits, request)
            connection.rollback()
        return tuple(_preview_of(step, decided) for step in decided.steps)


def _refuse_unnamed(connection: Connection, steps: Iterable[Step]) -> None:
    """Refuse what harms users whom the preview of its bulk plan did not name.

    Raises:
        UnnamedEffect: the first event that does.
    """
    for step in steps:
        plan = step.work.prepared.delivery.named_in
        harmed = frozenset[str]() if plan is None else users_harmed(step.decisions)
        if plan is not None and harmed and (unnamed := unnamed_in(connection, plan, harmed)):
            raise UnnamedEffect(step.work.row.id, plan, unnamed)


def _write(connection: Connection, decided: DecidedBatch) -> None:
    pending = PendingWrites()
    for step in decided.steps:
        _stage(pending, step)
    _resolve_dead_letters(connection, pending, decided)
    _audit_replays(pending, decided)
    store_observations(connection, _observed(decided.steps))
    note_fetched(connection, [_noted(step) for step in decided.steps if _is_to_note(step)])
    resettle(
        connection,
        {step.work.row.id: (step.outcome, step.reason) for step in decided.steps if step.corrects},
    )
    write(connection, pending, decided.batch, decided.ends)


def _is_to_note(step: Step) -> bool:
    """Return True if the event's row lacks the state of fetching once it is inserted."""
    work = step.work
    if work.state is DeliveryState.SETTLED:
        return False
    new = work.state is DeliveryState.NEW
    fetched = work.prepared.delivery.observations is not None and not new
    return fetched or bool(step.pending_fetches) or work.row.pending_fetches is not None


def _noted(step: Step) -> dict[str, Any]:
    return {
        "id": step.work.row.id,
        "pending_fetches": targets_to_text(step.pending_fetches) if step.pending_fetches else None,
        "observations": step.work.prepared.delivery.observation_ids,
    }


def _observed(steps: Iterable[Step]) -> Iterator[AskedFor]:
    """Yield what was observed for each delivery that settles its event or completes it."""
    for step in steps:
        if step.work.state is not DeliveryState.SETTLED:
            delivery = step.work.prepared.delivery
            for each in delivery.observations or ():
                yield AskedFor(delivery.envelope.realm, each, delivery.envelope.event_id)


def _stage(pending: PendingWrites, step: Step) -> None:
    if step.party is None:
        return
    prepared = step.work.prepared
    pending.facts += [(step.party, fact) for fact in prepared.facts]
    pending.add_terms(step.party, prepared.facts, prepared.terms)
    # An observation may be stored already: several events ask for one object in one second.
    pending.restated += prepared.delivery.observation_ids or ()
    if step.work.state is not DeliveryState.NEW:
        pending.restated.append(prepared.delivery.envelope.event_id)
    cause = _cause(prepared.delivery)
    pending.add(cause, step.party, step.decisions)
    if step.leaves_archives:
        pending.leave_archives(step.party, cause, step.decisions)


def _cause(delivery: Delivery) -> ChangeCause:
    envelope = delivery.envelope
    return ChangeCause(
        actor=delivery.actor,
        origin=delivery.origin,
        occurred_at=envelope.created_at,
        event_id=envelope.event_id,
        event_type=envelope.type,
        reason=delivery.reason,
    )


_CLOSE = text(
    "UPDATE dead_letters SET state = 'replayed', resolved_at = now(), resolved_by = :actor,"
    " reason = :reason WHERE event_id = :key AND state = :state"
    " AND resolved_at IS NOT DISTINCT FROM :resolved_at"
)


def _resolve_dead_letters(
    connection: Connection, pending: PendingWrites, decided: DecidedBatch
) -> None:
    """Resolve the dead letters of settled events; a discarded one is resolved only by a replay.

    Raises:
        DeadLetterChanged: one is not what it was, so the event may have been discarded meanwhile.
    """
    found = decided.opening.dead_letters
    deliveries = {
        step.work.prepared.delivery.key: step.work.prepared.delivery for step in decided.steps
    }
    for key in sorted(deliveries.keys() & found.keys()):
        delivery, dead_letter = deliveries[key], found[key]
        if dead_letter.stays_discarded(delivery):
            continue
        seen = {"key": key, "state": dead_letter.state, "resolved_at": dead_letter.resolved_at}
        by = {"actor": delivery.actor, "reason": delivery.reason}
        if connection.execute(_CLOSE, seen | by).rowcount == 0:
            raise DeadLetterChanged(key)
        closed = audit_row(
            _cause(delivery), action="dead_letter.replayed", target=("dead_letter", key)
        )
        pending.audit.append(closed)


def _audit_replays(pending: PendingWrites, decided: DecidedBatch) -> None:
    """Audit the outcome of each replay for the operator who asked for it."""
    for step in decided.steps:
        delivery = step.work.prepared.delivery
        if delivery.replayed:
            target = ("event", delivery.key)
            settled = audit_row(_cause(delivery), action=REPLAY_SETTLED, target=target)
            settled["after"] = {"outcome": str(step.outcome), "reason": step.reason}
            pending.audit.append(settled)


def _settlement(step: Step, decided: DecidedBatch) -> Settlement:
    row = step.work.row
    settled = step.work.state is DeliveryState.SETTLED
    open_still = (
        targets_from_text(row.pending_fetches)
        if settled and row.pending_fetches and step.work.prepared.ignored != DISCARDED
        else step.pending_fetches
    )
    return Settlement(
        key=step.work.prepared.delivery.key,
        event_id=row.id,
        fingerprint=row.fingerprint,
        event_type=row.type,
        outcome=step.outcome,
        reason=step.reason,
        applied_at=decided.opening.now if step.corrects else row.applied_at,
        attempts=row.attempts,
        settlement=row.settlement,
        database_epoch=decided.opening.database_epoch,
        hit=settled,
        changes=changes_in(step.decisions),
        pending_fetches=open_still,
        completes=step.work.state is DeliveryState.COMPLETED,
    )


def _preview_of(step: Step, decided: DecidedBatch) -> DeliveryPreview:
    party = step.party and decided.ends.get(step.party, step.party)
    return DeliveryPreview(
        event_id=step.work.row.id,
        outcome=step.outcome,
        reason=step.reason,
        decisions=step.decisions,
        hit=step.work.state is DeliveryState.SETTLED,
        projection=decided.batch.parties[party].projection if party else None,
        catalogue_version=decided.batch.plans.version,
    )
