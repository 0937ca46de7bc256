"""Preview a plan and keep what it shows: whom it names, and rows before and after, up to a bound.

Live traffic goes first: while events arrive, the preview rests four times as long as it worked, and
its locks are short. It may be stopped between two steps and be read while it grows.
"""

import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import sqlalchemy as sa
from redis.exceptions import RedisError
from sqlalchemy import Connection, Engine

from billing.ids import PartyId
from billing.rows import EntitlementRow, PaymentRow
from models.tables import BulkDifference, BulkItem, BulkUser
from ops.bulk.control import allow_users, forget_preview
from ops.bulk.lease import LeaseLost, beat, claim, new_owner, release
from ops.bulk.plans import DISCARD, PlannedItem, PreviewedChange, read_items
from ops.bulk.preview import PreviewedParty, ReplayPreview, ReplayPreviewer
from ops.bulk.results import ReplayStatus
from ops.bulk.targets import Target
from ops.queries.rows import row_of
from ops.terminal.output import to_json
from runtime.database.deadline import reading_at_length
from runtime.database.one_of import one_of
from runtime.inbox.entries import Lane
from runtime.inbox.inbox import Inbox
from runtime.ledger.effects import owner_of, takes_access, users_harmed
from runtime.settings import Settings

MOST_KEPT: Final = 10_000
"""Differences kept of one preview. Who is named is kept whole."""

_READ_AT_ONCE: Final = 5000
_RESTS: Final = 4
_LONGEST_REST_SECONDS: Final = 0.8
_NAMED_BY: Final = "preview"

Pause = Callable[[float], None]


@dataclass(slots=True, kw_only=True)
class LiveFirst:
    """Rest after each step while live events arrive or wait; without an inbox, never."""

    inbox: Inbox | None
    pause: Pause
    _accepted: int | None = None

    def rest(self, seconds: float) -> None:
        """Pause in proportion to the seconds that a step took."""
        if self._live_flows():
            self.pause(min(seconds * _RESTS, _LONGEST_REST_SECONDS))

    def _live_flows(self) -> bool:
        if self.inbox is None:
            return False
        try:
            backlog = self.inbox.backlog()
        except RedisError:
            return False
        accepted, before = backlog.counters.get("accepted", 0), self._accepted
        self._accepted = accepted
        return backlog.by_lane.get(Lane.LIVE, 0) > 0 or (before is not None and accepted > before)


@dataclass(slots=True, kw_only=True)
class StoredPreview:
    """The preview of one plan by one process; ``stream`` makes it."""

    settings: Settings
    engine: Engine
    inbox: Inbox | None
    pause: Pause = time.sleep
    owner: str = field(default_factory=new_owner)
    _last: int = 0
    """The position of the last difference."""
    _statuses: dict[str, ReplayStatus] = field(default_factory=dict)
    _counts: Counter[str] = field(default_factory=Counter)
    """Events by status, kept beside: to count a million at each step would take hours."""
    _users: dict[PartyId, frozenset[str]] = field(default_factory=dict)
    _named: Counter[str] = field(default_factory=Counter)
    """In how many parties each user is named."""

    def stream(self, plan: int) -> Iterator[list[PreviewedChange]]:
        """Yield the differences of a few parties at a time, each kept before it is yielded.

        It ends early if the plan is not in the state ``previewing`` any more, or another process
        has it. If the next step is not drawn, the preview stops and its lease ends by itself.
        """
        found = claim(self.engine, plan, self.owner, state="previewing")
        if found is None:
            return
        try:
            with self.engine.begin() as connection:
                forget_preview(connection, plan)
            if found.action != DISCARD:
                yield from self._stream(plan)
            self._end(plan)
        except LeaseLost:
            return
        finally:
            release(self.engine, plan, self.owner)

    def _stream(self, plan: int) -> Iterator[list[PreviewedChange]]:
        rest = LiveFirst(inbox=self.inbox, pause=self.pause).rest
        previewer = ReplayPreviewer(self.settings, self.engine, rest=rest)
        for parties in previewer.stream(targets_of(self.engine, plan)):
            yield self._keep(plan, parties)

    def _keep(self, plan: int, parties: Sequence[PreviewedParty]) -> list[PreviewedChange]:
        found = [each for party in parties for each in self._differences(party)]
        users, gone = self._name(parties)
        replaced = frozenset[PartyId]().union(*(party.replaces for party in parties))
        with self.engine.begin() as connection:
            beat(connection, plan, self.owner, during="previewing", **self._progress())
            _forget(connection, plan, replaced, gone)
            allow_users(connection, plan, users, named_by=_NAMED_BY)
            _write(connection, plan, [each for each in found if each.position <= MOST_KEPT])
        return found

    def _differences(self, party: PreviewedParty) -> list[PreviewedChange]:
        for result in party.results:
            if before := self._statuses.get(result.key):
                self._counts[before] -= 1
            self._statuses[result.key] = result.status
            self._counts[result.status] += 1
        seen = ReplayPreview()
        seen.add(party)
        found = differences_of(seen, party.party, after=self._last)
        self._last += len(found)
        return found

    def _name(self, parties: Sequence[PreviewedParty]) -> tuple[set[str], set[str]]:
        """Return the users whom these parties name, and those whom nothing names any more."""
        before = {name for party in parties for name in party.replaces}
        gone = {user for name in before for user in self._users.get(name, ())}
        for name in before:
            self._named.subtract(self._users.pop(name, ()))
        users: set[str] = set()
        for party in parties:
            harmed = users_harmed(each for one in party.decided for each in one.decisions)
            self._users[party.party] = self._users.get(party.party, frozenset()) | harmed
            self._named.update(harmed)
            users |= harmed
        return users, {user for user in gone if self._named[user] <= 0}

    def _progress(self) -> dict[str, Any]:
        counted = {str(status): number for status, number in self._counts.items() if number}
        return {"previewed": len(self._statuses), "preview_counts": counted}

    def _end(self, plan: int) -> None:
        with self.engine.begin() as connection:
            ended = {"previewed_at": sa.func.now()} | self._progress()
            beat(connection, plan, self.owner, during="previewing", **ended)
            connection.execute(_PREVIEWED, {"plan": plan})


def targets_of(engine: Engine, plan: int) -> Iterator[Target]:
    """Yield the events of a plan in their order, with nothing else: a million take seconds."""
    query = sa.select(BulkItem.key, BulkItem.letter_state.is_not(None))
    ordered = query.where(BulkItem.plan == plan).order_by(BulkItem.position)
    with engine.connect() as connection, reading_at_length(connection):
        for key, is_dead_letter in connection.execute(ordered):
            yield Target(key=key, is_dead_letter=is_dead_letter)


def items_of(engine: Engine, plan: int, *, states: Sequence[str] = ()) -> Iterator[PlannedItem]:
    """Yield the items of a plan in their order, those in the states if any are given."""
    after = 0
    while True:
        with engine.connect() as connection:
            some = read_items(connection, plan, after=after, limit=_READ_AT_ONCE, states=states)
        yield from some
        if len(some) < _READ_AT_ONCE:
            return
        after = some[-1].position


def differences_of(seen: ReplayPreview, party: PartyId, *, after: int = 0) -> list[PreviewedChange]:
    """Return the rows that change, numbered from the one after ``after`` on."""
    grants, payments = seen.entitlements.pairs(), seen.payments.pairs()
    changes = [*map(_of_grant, grants), *map(_of_payment, payments)]
    return [
        PreviewedChange(position=after + number, party=party, **change)
        for number, change in enumerate(changes, 1)
    ]


def _of_grant(pair: tuple[EntitlementRow | None, EntitlementRow | None]) -> Mapping[str, Any]:
    before, after = pair
    row = row_of(before, after)
    return _change("entitlement", row.user_id, pair, takes=takes_access(before, after))


def _of_payment(pair: tuple[PaymentRow | None, PaymentRow | None]) -> Mapping[str, Any]:
    before, after = pair
    return _change("payment", owner_of(row_of(after, before)), pair, takes=True)


def _change(
    kind: str, user: str, pair: tuple[object | None, object | None], *, takes: bool
) -> dict[str, Any]:
    before, after = map(to_json, pair)
    return {"kind": kind, "user_id": user, "takes": takes, "before": before, "after": after}


def _forget(
    connection: Connection, plan: int, parties: Collection[PartyId], users: Collection[str]
) -> None:
    """Delete what was shown of parties of which more is known now, and whom only they named."""
    if parties:
        shown = sa.delete(BulkDifference).where(BulkDifference.plan == plan)
        connection.execute(shown.where(one_of(BulkDifference.party, parties)))
    if users:
        named = sa.delete(BulkUser).where(BulkUser.plan == plan, BulkUser.named_by == _NAMED_BY)
        connection.execute(named.where(one_of(BulkUser.user_id, users)))


def _write(connection: Connection, plan: int, found: Sequence[PreviewedChange]) -> None:
    if found:
        rows = [{"plan": plan, **_columns(each)} for each in found]
        connection.execute(sa.insert(BulkDifference), rows)


def _columns(difference: PreviewedChange) -> dict[str, Any]:
    names = ("position", "party", "kind", "user_id", "takes", "before", "after")
    return {name: getattr(difference, name) for name in names}


_PREVIEWED: Final = sa.text("UPDATE bulk_plans SET state = 'previewed' WHERE id = :plan")
