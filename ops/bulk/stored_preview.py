"""Preview a plan and keep what it shows: whom it names, and rows before and after, up to a bound.

Live traffic goes first: while events arrive, the preview rests four times as long as it worked, and
its locks are short. It may be stopped between two steps and be read while it grows.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import sqlalchemy as sa
from redis.exceptions import RedisError
from sqlalchemy import Connection, Engine

from billing.rows import EntitlementRow, PaymentRow
from models.tables import BulkDifference
from ops.bulk.control import allow_users, forget_preview
from ops.bulk.effects import owner_of, takes_access, users_harmed
from ops.bulk.lease import LeaseLost, beat, claim, new_owner, release
from ops.bulk.plans import DISCARD, Difference, Item, read_items
from ops.bulk.preview import PreviewedParties, ReplayPreview, ReplayPreviewer
from ops.bulk.results import ReplayResults
from ops.queries.rows import row_of
from ops.terminal.output import to_json
from runtime.inbox.entries import Lane
from runtime.inbox.inbox import Inbox
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
    _kept: int = 0
    _previewed: int = 0
    _results: ReplayResults = field(default_factory=lambda: ReplayResults(limit=0))

    def stream(self, plan: int) -> Iterator[list[Difference]]:
        """Yield the differences of a few parties at a time, each kept before it is yielded.

        It ends early if the plan is not in the state ``previewing`` any more, or another process
        has it. Whoever does not draw the next step stops it; then the lease ends by itself.
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

    def _stream(self, plan: int) -> Iterator[list[Difference]]:
        rest = LiveFirst(inbox=self.inbox, pause=self.pause).rest
        previewer = ReplayPreviewer(self.settings, self.engine, rest=rest)
        for parties in previewer.stream(items_of(self.engine, plan)):
            yield self._keep(plan, parties)

    def _keep(self, plan: int, parties: PreviewedParties) -> list[Difference]:
        seen = ReplayPreview()
        for decided in parties.decided:
            seen.add_decisions(decided.decisions)
        for result in parties.results:
            self._results.add(result)
        self._previewed += len(parties.results)
        found = differences_of(seen, after=self._kept)
        self._kept += len(found)
        users = users_harmed(each for decided in parties.decided for each in decided.decisions)
        with self.engine.begin() as connection:
            beat(connection, plan, self.owner, state="previewing", **self._progress())
            allow_users(connection, plan, users, named_by=_NAMED_BY)
            _write(connection, plan, [each for each in found if each.position <= MOST_KEPT])
        return found

    def _progress(self) -> dict[str, Any]:
        counts = {str(status): number for status, number in self._results.counts.items()}
        return {"previewed": self._previewed, "preview_counts": counts}

    def _end(self, plan: int) -> None:
        with self.engine.begin() as connection:
            ended = {"previewed_at": sa.func.now()} | self._progress()
            beat(connection, plan, self.owner, state="previewing", **ended)
            connection.execute(_PREVIEWED, {"plan": plan})


def items_of(engine: Engine, plan: int, *, states: Sequence[str] = ()) -> Iterator[Item]:
    """Yield the items of a plan in their order, those in the states if any are given."""
    after = 0
    while True:
        with engine.connect() as connection:
            some = read_items(connection, plan, after=after, limit=_READ_AT_ONCE, states=states)
        yield from some
        if len(some) < _READ_AT_ONCE:
            return
        after = some[-1].position


def differences_of(seen: ReplayPreview, *, after: int = 0) -> list[Difference]:
    """Return the rows that change, numbered from the one after ``after`` on."""
    grants, payments = seen.entitlements.pairs(), seen.payments.pairs()
    changes = [*map(_of_grant, grants), *map(_of_payment, payments)]
    return [
        Difference(position=after + number, **change) for number, change in enumerate(changes, 1)
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


def _write(connection: Connection, plan: int, found: Sequence[Difference]) -> None:
    if found:
        rows = [{"plan": plan, **_columns(each)} for each in found]
        connection.execute(sa.insert(BulkDifference), rows)


def _columns(difference: Difference) -> dict[str, Any]:
    names = ("position", "kind", "user_id", "takes", "before", "after")
    return {name: getattr(difference, name) for name in names}


_PREVIEWED: Final = sa.text("UPDATE bulk_plans SET state = 'previewed' WHERE id = :plan")
