"""Settled events stated anew: what today's readers read in a body replaces what was read before.

As a replay does it, for many events at once and without the inbox.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, text

from billing.errors import MalformedEvent
from billing.facts import Fact
from billing.fetching.record import Fetched
from billing.ids import EventId, ObjectKey
from billing.readers.registry import IgnoredBecause
from runtime.event_body import parse
from runtime.ledger.admit import resettle
from runtime.ledger.batch_state import Account, Book
from runtime.ledger.deliveries import DISCARDED, REPLAY, Delivery, Outcome
from runtime.ledger.load import keys_stated_by
from runtime.ledger.locks import Secured
from runtime.ledger.prepare import Entering, Scope, enter
from runtime.ledger.write import Draft

EXCLUDED: Final = frozenset({IgnoredBecause.WRONG_MODE, IgnoredBecause.UNKNOWN_ACCOUNT})
NOT_OURS: Final = "the settings here exclude it, though it was counted: replay it to drop it"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reread:
    """What events state by today's readers, and those that cannot be read."""

    entering: Sequence[Entering]
    kept: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Restating:
    """Events on their way back into the books, their rows locked."""

    entering: Sequence[Entering]
    kept: Mapping[str, str]
    stated: Mapping[str, frozenset[ObjectKey]]
    outcomes: Mapping[str, str]

    @classmethod
    def of(cls, connection: Connection, reread: Reread) -> "Restating":
        """Lock the events in the order in which replays do, and leave alone what must stay."""
        ids = [_id(each) for each in reread.entering]
        rows = {row.id: row for row in connection.execute(_HOLD, {"ids": ids})}
        stated = keys_stated_by(connection, ids)
        kept, entering = dict(reread.kept), []
        for each in reread.entering:
            if why := _why_kept(each, stated):
                kept[_id(each)] = why
            elif rows[_id(each)].reason != DISCARDED:
                entering.append(each)
        outcomes = {event_id: row.outcome for event_id, row in rows.items()}
        return cls(entering=entering, kept=kept, stated=stated, outcomes=outcomes)

    def mentions(self) -> list[frozenset[ObjectKey]]:
        """Every object that each event names or named, of those that name any."""
        return [named for each in self.entering if (named := self._named(each))]

    def carry_out(self, connection: Connection, book: Book, draft: Draft, secured: Secured) -> None:
        """Let every event state what it states today; what states the same is left alone."""
        landings = iter(secured.landings)
        outcomes: dict[str, tuple[Outcome, str | None]] = {}
        for each in self.entering:
            if not self._named(each):
                continue
            landing = next(landings)
            account = book.at(landing)
            if self._exchanged(account, each):
                draft.restated.append(EventId(_id(each)))
                draft.facts += [(landing.party, fact) for fact in each.facts]
                outcomes.update(self._outcome(each))
        for landing in landings:
            book.at(landing)
        resettle(connection, outcomes)

    def _named(self, entering: Entering) -> frozenset[ObjectKey]:
        return entering.mentions | self.stated.get(_id(entering), frozenset())

    def _exchanged(self, account: Account, entering: Entering) -> bool:
        event_id = EventId(_id(entering))
        today = {fact.object_key: fact for fact in entering.facts}
        before = self._facts(account, event_id)
        if today == before:
            return False
        account.exchange(event_id, entering.facts)
        return True

    def _facts(self, account: Account, event_id: EventId) -> dict[ObjectKey, Fact | None]:
        keys = self.stated.get(event_id, frozenset())
        return {key: account.facts.get((event_id, key)) for key in keys}

    def _outcome(self, entering: Entering) -> Iterator[tuple[str, tuple[Outcome, str | None]]]:
        event_id = _id(entering)
        ignored = self.outcomes[event_id] == Outcome.IGNORED
        if entering.facts and ignored:
            yield event_id, (Outcome.APPLIED, None)
        elif not entering.facts and not ignored:
            yield event_id, (Outcome.IGNORED, entering.ignored)


def reread(connection: Connection, scope: Scope, ids: Sequence[str]) -> Reread:
    """What these events state today; to be asked before the transaction, since it holds no lock."""
    kept: dict[str, str] = {}
    deliveries = []
    for row in connection.execute(_BODIES, {"ids": list(ids)}):
        try:
            deliveries.append(_delivery(row))
        except MalformedEvent as error:
            kept[row.id] = str(error)
    return Reread(entering=enter(deliveries, scope), kept=kept)


def _delivery(row: Any) -> Delivery:
    return Delivery(
        envelope=parse(row.payload.encode()),
        received_at=row.received_at,
        attempts=row.attempts,
        origin=REPLAY,
        key=row.id,
        fetched=Fetched.from_text(row.fetched) if row.fetched else None,
    )


def _why_kept(entering: Entering, stated: Mapping[str, object]) -> str | None:
    """Events that must not lose what they state because this command cannot tell."""
    if entering.unreadable:
        return str(entering.unreadable)
    if entering.ignored in EXCLUDED and _id(entering) in stated:
        return NOT_OURS
    return None


def _id(entering: Entering) -> str:
    return entering.delivery.envelope.event_id


_BODIES = text(
    "SELECT id, payload, received_at, attempts, fetched FROM stripe_events"
    " WHERE id = ANY(:ids) ORDER BY id"
)
_HOLD = text(
    "SELECT id, outcome, reason FROM stripe_events WHERE id = ANY(:ids) ORDER BY id FOR UPDATE"
)
