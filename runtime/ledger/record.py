"""Recording: a list of events becomes rows, in one transaction, or nothing happens at all.

    admit    which events are new; their rows in stripe_events are the authority
    secure   lock every party they touch, in order; a party is what belongs together
    load     all facts and rows of those parties
    decide   event by event in memory: state its facts, project, take the difference
    write    what was decided, and the proof of it

A preview is the same without the last step. A batch of one and a batch of a hundred write the
same rows, because every event is projected and audited by itself.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from sqlalchemy import Connection, Engine, text

from billing.fetching.record import wanted_as_text, wanted_from_text
from billing.ids import EventId, PartyId
from billing.rows import Projection
from runtime.ledger.admit import note_fetched, resettle
from runtime.ledger.catalogues import Catalogues
from runtime.ledger.decide import Decided, Standing, Step, decide
from runtime.ledger.decisions import Decision
from runtime.ledger.deliveries import REPLAY_SETTLED, Delivery, Outcome, Settlement
from runtime.ledger.errors import LocksOutOfOrder
from runtime.ledger.fetched import Errand, errand_of, recalled
from runtime.ledger.maintenance.reproject import project_due, reproject
from runtime.ledger.prepare import Entering, Livemode, Scope, enter
from runtime.ledger.write import Cause, Draft, audit_row, changes_in, write

MOST_TRIES: Final = 16
"""Each try that fails had somebody else commit, so more would say that something is wrong.

Eight were too few once, for eight threads that connected the same parties in two batches each.
"""

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Foreseen:
    """What recording one delivery would do."""

    event_id: str
    outcome: Outcome
    reason: str | None
    decisions: tuple[Decision, ...]
    hit: bool = False
    """It is settled: sent once more it changes nothing."""
    projection: Projection | None = None
    """All that would follow for the party it is about, if it is about any."""
    catalogue_version: int


Preview = tuple[Foreseen, ...]


class Ledger:
    """The one way into the tables that applications and auditors read."""

    def __init__(self, engine: Engine, *, livemode: Livemode, accounts: frozenset[str]) -> None:
        self._engine = engine
        self._scope = Scope(livemode=livemode, accounts=accounts)
        self._catalogues = Catalogues()

    def record(self, deliveries: Sequence[Delivery]) -> list[Settlement]:
        """Settle all of these events and say what became of each, in their order.

        Raises:
            LedgerError: none of them was settled; so says every other error that comes out.
            UnreadableEvent: one of them is new and nobody can tell what it is about.
        """
        return _persistently(lambda: self._record(self._entering(deliveries)))

    def preview(self, deliveries: Sequence[Delivery]) -> Preview:
        """What ``record`` would do now, at the cost of its locks and without its traces."""
        return _persistently(lambda: self._preview(self._entering(deliveries)))

    def recalled(self, deliveries: Sequence[Delivery]) -> list[Delivery]:
        """The same, the replays among them with what was fetched for them before."""
        return recalled(self._engine, deliveries)

    def errand_of(self, event_id: EventId) -> Errand:
        """What was fetched for a settled event and what is still to be fetched."""
        return errand_of(self._engine, event_id)

    def project_due(self, limit: int) -> int:
        """Compute again what time alone has changed, and say for how many parties."""
        return project_due(self._engine, self._catalogues, limit)

    def reproject(self, parties: Iterable[PartyId], *, actor: str, reason: str) -> int:
        """Compute these parties again by the plans of record, and say how many there were."""
        return reproject(self._engine, self._catalogues, parties, actor=actor, reason=reason)

    def _entering(self, deliveries: Sequence[Delivery]) -> list[Entering]:
        return enter(self.recalled(deliveries), self._scope)

    def _record(self, entering: Sequence[Entering]) -> list[Settlement]:
        with self._engine.begin() as connection:
            decided = decide(connection, entering, self._catalogues)
            _write(connection, decided)
            return [_settlement(step, decided) for step in decided.steps]

    def _preview(self, entering: Sequence[Entering]) -> Preview:
        with self._engine.connect() as connection:
            decided = decide(connection, entering, self._catalogues)
            connection.rollback()
        return tuple(_foreseen(step, decided) for step in decided.steps)


def _persistently(attempt: Callable[[], T]) -> T:
    """Begin anew, a few times, where others got in between: what they committed is known now."""
    for _ in range(MOST_TRIES - 1):
        try:
            return attempt()
        except LocksOutOfOrder:
            continue
    return attempt()


def _write(connection: Connection, decided: Decided) -> None:
    draft = Draft()
    for step in decided.steps:
        _take_down(draft, step)
    _close_letters(connection, draft, decided)
    _answer_operators(draft, decided)
    write(connection, draft, decided.book, decided.ends)
    note_fetched(connection, [_noted(step) for step in decided.steps if _is_to_note(step)])
    resettle(
        connection,
        {step.work.row.id: (step.outcome, step.reason) for step in decided.steps if step.corrects},
    )


def _is_to_note(step: Step) -> bool:
    """Whether a row lacks, once it is inserted, what is known of fetching by now."""
    work = step.work
    if work.standing is Standing.SETTLED:
        return False
    new = work.standing is Standing.NEW
    fetched = work.entering.delivery.fetched is not None and not new
    return fetched or bool(step.errand) or work.row.errand is not None


def _noted(step: Step) -> dict[str, Any]:
    fetched = step.work.entering.delivery.fetched
    return {
        "id": step.work.row.id,
        "errand": wanted_as_text(step.errand) if step.errand else None,
        "fetched": fetched and fetched.as_text(),
    }


def _take_down(draft: Draft, step: Step) -> None:
    if step.party is None:
        return
    entering = step.work.entering
    draft.facts += [(step.party, fact) for fact in entering.facts]
    if step.work.standing is not Standing.NEW:
        draft.restated.append(entering.delivery.envelope.event_id)
    draft.obey(_cause(entering.delivery), step.party, step.decisions)


def _cause(delivery: Delivery) -> Cause:
    envelope = delivery.envelope
    return Cause(
        actor=delivery.actor,
        origin=delivery.origin,
        occurred_at=envelope.created_at,
        event_id=envelope.event_id,
        event_type=envelope.type,
        reason=delivery.reason,
    )


_CLOSE = text(
    "UPDATE dead_letters SET state = 'replayed', resolved_at = now(), resolved_by = :actor,"
    " reason = :reason WHERE event_id = :key AND state <> 'replayed'"
)


def _close_letters(connection: Connection, draft: Draft, decided: Decided) -> None:
    """A letter whose event is settled is none any more; a discarded one waits for a replay."""
    for step in decided.steps:
        delivery = step.work.entering.delivery
        letter = decided.opening.letters.get(delivery.key)
        if letter and (letter.state == "open" or delivery.replayed):
            by = {"key": delivery.key, "actor": delivery.actor, "reason": delivery.reason}
            connection.execute(_CLOSE, by)
            target = ("dead_letter", delivery.key)
            closed = audit_row(_cause(delivery), action="dead_letter.replayed", target=target)
            draft.audit.append(closed)


def _answer_operators(draft: Draft, decided: Decided) -> None:
    """What became of each replay, for whoever asked for it and for the auditor."""
    for step in decided.steps:
        delivery = step.work.entering.delivery
        if delivery.replayed:
            target = ("event", delivery.key)
            settled = audit_row(_cause(delivery), action=REPLAY_SETTLED, target=target)
            settled["after"] = {"outcome": str(step.outcome), "reason": step.reason}
            draft.audit.append(settled)


def _settlement(step: Step, decided: Decided) -> Settlement:
    row = step.work.row
    settled = step.work.standing is Standing.SETTLED
    open_still = wanted_from_text(row.errand) if settled and row.errand else step.errand
    return Settlement(
        key=step.work.entering.delivery.key,
        event_id=row.id,
        fingerprint=row.fingerprint,
        event_type=row.type,
        outcome=step.outcome,
        reason=step.reason,
        applied_at=decided.opening.now if step.corrects else row.applied_at,
        attempts=row.attempts,
        settlement=row.settlement,
        hit=settled,
        changes=changes_in(step.decisions),
        errand=open_still,
        completes=step.work.standing is Standing.COMPLETED,
    )


def _foreseen(step: Step, decided: Decided) -> Foreseen:
    party = step.party and decided.ends.get(step.party, step.party)
    return Foreseen(
        event_id=step.work.row.id,
        outcome=step.outcome,
        reason=step.reason,
        decisions=step.decisions,
        hit=step.work.standing is Standing.SETTLED,
        projection=decided.book.accounts[party].projection if party else None,
        catalogue_version=decided.book.record.version,
    )
