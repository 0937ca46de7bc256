"""From events to what follows from each, inside a transaction that holds every lock it needs.

Nothing is written here but the claim on the events and on the names they bring, so rolling back
makes it a preview.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto

from sqlalchemy import Connection

from billing.fetching.plan import left_open
from billing.fetching.record import Wanted
from billing.ids import EventId, ObjectKey, PartyId
from runtime.ledger.admit import (
    Admitted,
    EventRow,
    Opening,
    OpenLetter,
    admit,
    open_transaction,
)
from runtime.ledger.batch_state import Account, Book
from runtime.ledger.catalogues import Catalogues
from runtime.ledger.decisions import Decision
from runtime.ledger.deliveries import ALREADY_APPLIED, Outcome, superseded_by
from runtime.ledger.errors import IdentityConflict, LocksOutOfOrder
from runtime.ledger.load import keys_stated_by, load
from runtime.ledger.locks import Secured, secure
from runtime.ledger.parties import Landing
from runtime.ledger.prepare import Entering, heed


class Standing(Enum):
    """What the database says of a delivery's event."""

    NEW = auto()
    SETTLED = auto()
    REPLAYED = auto()
    COMPLETED = auto()
    """Settled before; now there is what was fetched for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """A delivery in its place in the batch."""

    entering: Entering
    row: EventRow
    standing: Standing
    mentions: frozenset[ObjectKey]


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One delivery and what follows from it; ``party`` is None where it touches nothing."""

    work: Work
    outcome: Outcome
    reason: str | None
    decisions: tuple[Decision, ...] = ()
    party: PartyId | None = None
    errand: tuple[Wanted, ...] = ()

    @property
    def corrects(self) -> bool:
        """Whether the event's row says something else by now."""
        if (self.outcome, self.reason) == (self.work.row.outcome, self.work.row.reason):
            return False
        return self.work.standing is Standing.NEW or self._replay_tells_more()

    def _replay_tells_more(self) -> bool:
        said = Outcome.IGNORED in {self.outcome, self.work.row.outcome}
        again = self.work.standing in {Standing.REPLAYED, Standing.COMPLETED}
        return again and said and self.reason != ALREADY_APPLIED


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided:
    """A batch, decided: the steps in the order of the deliveries, and the book they ended in."""

    opening: Opening
    steps: tuple[Step, ...]
    book: Book
    ends: Mapping[PartyId, PartyId]


def decide(connection: Connection, entering: Sequence[Entering], catalogues: Catalogues) -> Decided:
    """Take a batch as far as its decisions.

    Raises:
        IdentityConflict: an event of the batch has the id of another one.
        UnreadableEvent: an event of the batch is new and cannot be read.
        LocksOutOfOrder: another transaction got in between; nothing was written.
    """
    deliveries = [each.delivery for each in entering]
    names = {name for each in deliveries for name in (each.key, each.envelope.event_id)}
    opening = open_transaction(connection, names)
    heeded = [heed(each, opening.letters) for each in entering]
    admitted = admit(connection, [(each.delivery, each.ignored) for each in heeded])
    _keep_to_letters(heeded, opening.letters, admitted)
    works = _works(connection, heeded, admitted)
    secured = secure(connection, [work.mentions for work in works if work.mentions])
    record = catalogues.current(connection)
    book = Book(load(connection, secured.stored), record=record, now=opening.now)
    return Decided(
        opening=opening, steps=_steps(book, works, secured), book=book, ends=secured.ends
    )


def _keep_to_letters(
    entering: Sequence[Entering], letters: Mapping[str, OpenLetter], admitted: Admitted
) -> None:
    """An event that waits as a dead letter has its id: another one must not be settled under it."""
    for each in entering:
        event_id = each.delivery.envelope.event_id
        letter = letters.get(event_id)
        if letter and event_id in admitted.new and letter.is_anothers(each.delivery):
            raise IdentityConflict(event_id)


def _works(connection: Connection, entering: Sequence[Entering], admitted: Admitted) -> list[Work]:
    stated = _stated_before(connection, entering, admitted)
    seen: set[EventId] = set()
    works = []
    for each in entering:
        event_id = each.delivery.envelope.event_id
        standing = _standing(each, admitted) if event_id not in seen else Standing.SETTLED
        seen.add(event_id)
        works.append(_work(each, admitted, standing, stated.get(event_id, frozenset())))
    return works


def _stated_before(
    connection: Connection, entering: Sequence[Entering], admitted: Admitted
) -> Mapping[str, frozenset[ObjectKey]]:
    again = [
        each.delivery.envelope.event_id
        for each in entering
        if _standing(each, admitted) in {Standing.REPLAYED, Standing.COMPLETED}
    ]
    return keys_stated_by(connection, again) if again else {}


def _standing(entering: Entering, admitted: Admitted) -> Standing:
    if entering.delivery.envelope.event_id in admitted.new:
        return Standing.NEW
    row = admitted.row(entering.delivery.envelope.event_id)
    if entering.delivery.replayed:
        return Standing.REPLAYED
    waits = row.errand is not None or not row.fetched
    return Standing.COMPLETED if entering.delivery.fetched and waits else Standing.SETTLED


def _work(
    entering: Entering, admitted: Admitted, standing: Standing, stated: frozenset[ObjectKey]
) -> Work:
    envelope = entering.delivery.envelope
    row = admitted.row(envelope.event_id)
    if row.fingerprint != envelope.fingerprint:
        raise IdentityConflict(envelope.event_id)
    if standing is Standing.REPLAYED and row.fetched and entering.delivery.fetched is None:
        raise LocksOutOfOrder((row.id,))  # fetched since the replay was read: read it anew
    if standing is Standing.SETTLED:
        return Work(entering=entering, row=row, standing=standing, mentions=frozenset())
    if entering.unreadable:
        raise entering.unreadable
    mentions = entering.mentions | stated
    return Work(entering=entering, row=row, standing=standing, mentions=mentions)


def _steps(book: Book, works: Sequence[Work], secured: Secured) -> tuple[Step, ...]:
    landings = iter(secured.landings)
    steps: dict[EventId, Step] = {}
    ordered = []
    for work in works:
        event_id = work.entering.delivery.envelope.event_id
        step = _step(book, work, next(landings) if work.mentions else None, steps.get(event_id))
        steps[event_id] = step
        ordered.append(step)
    return tuple(ordered)


def _step(book: Book, work: Work, landing: Landing | None, earlier: Step | None) -> Step:
    if work.standing is Standing.SETTLED:
        known = earlier or work.row
        return Step(work=work, outcome=known.outcome, reason=known.reason)
    if landing is None:
        return Step(work=work, outcome=Outcome.IGNORED, reason=work.entering.ignored)
    return (
        _stated(book, work, landing)
        if work.standing is Standing.NEW
        else _restated(book, work, landing)
    )


def _stated(book: Book, work: Work, landing: Landing) -> Step:
    account = book.at(landing)
    decisions = book.state(account, work.entering.facts)
    newer = None if decisions else account.newer_than(work.entering.facts)
    return Step(
        work=work,
        outcome=Outcome.SUPERSEDED if newer else Outcome.APPLIED,
        reason=superseded_by(newer) if newer else None,
        decisions=decisions,
        party=landing.party,
        errand=_errand(account, work),
    )


def _errand(account: Account, work: Work) -> tuple[Wanted, ...]:
    """What the projection leaves open of what this event is about; nearly always nothing."""
    projection = account.projection
    assert projection is not None, "it was just made"  # noqa: S101 - for the reader
    if not (projection.undecided or projection.unlisted or projection.incomplete_summaries):
        return ()
    facts = work.entering.facts
    states = {fact.object_key: account.folded.state_of(fact).created_at for fact in facts}
    return left_open(facts, projection, states, work.entering.delivery.fetched)


def _restated(book: Book, work: Work, landing: Landing) -> Step:
    account, facts = book.at(landing), work.entering.facts
    event_id = work.entering.delivery.envelope.event_id
    same = account.stated_by(event_id) == {(f.event_id, f.object_key): f for f in facts}
    decisions = book.restate(account, event_id, facts)
    outcome, reason = Outcome.APPLIED if facts else Outcome.IGNORED, work.entering.ignored
    if work.standing is Standing.COMPLETED and work.row.outcome is not Outcome.IGNORED:
        outcome, reason = work.row.outcome, work.row.reason
    elif same and not decisions:
        outcome, reason = work.row.outcome, ALREADY_APPLIED
    elif not decisions and (newer := account.newer_than(facts)):
        outcome, reason = Outcome.SUPERSEDED, superseded_by(newer)
    return Step(
        work=work,
        outcome=outcome,
        reason=reason,
        decisions=decisions,
        party=landing.party,
        errand=_errand(account, work),
    )
