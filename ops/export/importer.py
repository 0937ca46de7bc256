"""What ``paidup replay --from FILE`` does: events of a file on their way through the inbox.

A thousand at a time, so that it needs no more room for a year of events than for a day of them.
"""

import os
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import sqlalchemy as sa
from redis.exceptions import RedisError
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError

from ops import connections as doors
from ops.bulk_audit import Audited
from ops.errors import NotDone, sentence
from ops.export.import_file import Cargo, Carried, cargo
from ops.export.render import (
    Foretold,
    Imported,
    foretold_document,
    imported_document,
    print_foretold,
    print_imported,
)
from ops.queries.replay_results import mark
from ops.replay.requeue import Answer, Entrance, entrance_of_pending
from ops.replay.run import DONE, Fate, Pace, Replay
from ops.replay.start import Wish, bar, confirm, logs_on_stderr, showing
from ops.replay.targets import Target
from ops.terminal.interrupt import Interruption
from ops.terminal.operator_options import reason_given
from ops.terminal.output import emit_json
from ops.up.up_file import settings as find_settings
from runtime.broker import Wakes, make_celery
from runtime.inbox.inbox import Inbox
from runtime.ledger.deliveries import REPLAY
from runtime.ledger.prepare import Scope
from runtime.settings import Settings

REQUESTED: Final = "import.requested"
ENDED: Final = "import.ended"
AT_ONCE: Final = 1000
BYTES_AT_ONCE: Final = 64 * 1024 * 1024


def bring_in(name: str, wish: Wish) -> int:
    """Read the file, ask, let in, wait and tell; the exit code."""
    needed = ["DATABASE_URL"] if wish.dry_run else ["DATABASE_URL", "REDIS_URL"]
    settings = find_settings(os.environ, *needed)
    if not wish.dry_run:
        reason_given(wish.reason)
    with doors.database(settings, asker="replay") as engine:
        with doors.snapshot(engine) as connection:
            since = mark(connection)
        with cargo(name) as load:
            if wish.dry_run:
                return _foretell(settings, engine, load, as_json=wish.as_json)
            confirm(load.events, "let in", yes=wish.yes)
            publish = Wakes(make_celery(settings, role="publisher")).publish
            with doors.asking_inbox(settings) as inbox:
                return _Run(
                    engine=engine,
                    inbox=inbox,
                    publish=publish,
                    load=load,
                    wish=wish,
                    since=since,
                ).carry_out()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Run:
    engine: Engine
    inbox: Inbox
    publish: Callable[[str], bool]
    load: Cargo
    wish: Wish
    since: int
    imported: Imported = field(default_factory=Imported)

    def carry_out(self) -> int:
        self._audit(REQUESTED, "done", {"file": self.load.name, "events": self.load.events})
        pace = Pace(rate=self.wish.rate, clock=time.monotonic)
        pause = Interruption().pause
        with logs_on_stderr(), bar("letting in", self.load.events) as moved:
            for some in _chunks(self.load):
                replay = self._replay(some, pace)
                self._go(replay, pause, showing(self._after_those_before(moved)))
                if replay.interrupted:
                    break
        return self._tell()

    def _after_those_before(self, moved: Callable[[int, str], None]) -> Callable[[int, str], None]:
        before = self.imported.counts.total()
        return lambda done, said: moved(before + done, said)

    def _replay(self, some: Mapping[str, Carried], pace: Pace) -> Replay:
        customs = Customs(
            engine=self.engine,
            inbox=self.inbox,
            publish=self.publish,
            actor=self.wish.actor,
            reason=reason_given(self.wish.reason),
            carried=some,
        )
        return Replay(
            let_in=customs.let_in,
            inbox=self.inbox,
            engine=self.engine,
            mark=self.since,
            pace=pace,
            wait=self.wish.wait,
            todo=deque(Target(key=key, buried=False) for key in some),
        )

    def _go(
        self, replay: Replay, pause: Callable[[float], None], show: Callable[[Replay], None]
    ) -> None:
        try:
            replay.run(pause, show)
        except (RedisError, SQLAlchemyError) as error:
            let_in = self.imported.readmitted + replay.readmitted
            done = f"{let_in} of {self.load.events} events were let in"
            raise NotDone(f"{sentence(error)}; {done}: run the same command again") from error
        self.imported.take(replay)

    def _tell(self) -> int:
        counts = self.imported.counts
        counts[Fate.UNTOUCHED] += self.load.events - counts.total()
        whole = counts.keys() - {fate for fate in counts if not counts[fate]} <= DONE
        told = {str(fate): number for fate, number in counts.items() if number}
        self._audit(ENDED, "done" if whole else "failed", {"counts": told})
        if self.wish.as_json:
            emit_json(imported_document(self.load, self.imported))
        else:
            print_imported(self.load, self.imported)
        return 0 if whole else 1

    def _audit(self, action: str, outcome: str, after: dict[str, Any]) -> None:
        Audited(
            engine=self.engine,
            actor=self.wish.actor,
            reason=self.wish.reason,
            targets=[("file", self.load.digest)],
        ).note(action, outcome, after)


def _chunks(load: Iterable[Carried]) -> Iterator[dict[str, Carried]]:
    """So many that they are worth a run, no more than memory bears, and each of them once."""
    some: dict[str, Carried] = {}
    size = 0
    for each in load:
        if some and (len(some) == AT_ONCE or size > BYTES_AT_ONCE or each.key in some):
            yield some
            some, size = {}, 0
        some[each.key] = each
        size += len(each.envelope.body) + len(each.fetched or "")
    yield some


def _foretell(settings: Settings, engine: Engine, load: Cargo, *, as_json: bool) -> int:
    scope = Scope(livemode=settings.effective_livemode(), accounts=settings.connect_accounts)
    foretold = Foretold()
    with bar("looking", load.events) as moved, doors.snapshot(engine) as connection:
        for some in _chunks(load):
            here = known(connection, list(some))
            for each in some.values():
                foretold.take(each, here.why_not(each), scope)
            moved(foretold.counts.total(), "")
    if as_json:
        emit_json(foretold_document(load, foretold))
    else:
        print_foretold(load, foretold)
    return 0 if foretold.counts.keys() <= DONE else 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What is known here of some events: fingerprints of settled ones, and discarded letters."""

    settled: Mapping[str, str]
    discarded: frozenset[str]

    def why_not(self, carried: Carried) -> tuple[Entrance, str] | None:
        """What speaks against letting an event in."""
        if carried.discarded:
            return Entrance.LEFT_OUT, "discarded by an operator where it is from"
        if carried.key in self.discarded:
            return (
                Entrance.LEFT_OUT,
                f"discarded here; `paidup dead replay {carried.key}` undoes it",
            )
        fingerprint = self.settled.get(carried.key)
        if fingerprint is None:
            return None
        if fingerprint != carried.envelope.fingerprint:
            return Entrance.REFUSED, "another event with this id is settled here"
        return Entrance.KNOWN, ""


def known(connection: Connection, keys: Sequence[str]) -> Known:
    """What is known of these."""
    values = {"keys": list(keys)}
    return Known(
        settled={row.id: row.fingerprint for row in connection.execute(_SETTLED, values)},
        discarded=frozenset(connection.scalars(_DISCARDED, values)),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Customs:
    """The way in for the events of one file, on one operator's word."""

    engine: Engine
    inbox: Inbox
    publish: Callable[[str], bool]
    actor: str
    reason: str
    carried: Mapping[str, Carried]

    def let_in(self, targets: Sequence[Target]) -> list[Answer]:
        """Try each of these few, and wake whoever has to be woken."""
        with self.engine.connect() as connection:
            here = known(connection, [target.key for target in targets])
        wakes: list[str] = []
        answers = [self._answer(target, here, wakes) for target in targets]
        for wake in wakes:
            if not self.publish(wake):
                self.inbox.unregister(wake)
        return answers

    def _answer(self, target: Target, here: Known, wakes: list[str]) -> Answer:
        carried = self.carried[target.key]
        if refused := here.why_not(carried):
            return Answer(target=target, entrance=refused[0], says=refused[1])
        accepted = self.inbox.readmit(
            carried.envelope, key=target.key, origin=REPLAY, extra=self._extra(carried)
        )
        if accepted.status != "accepted":
            return Answer(target=target, entrance=entrance_of_pending(self.inbox, target.key))
        wakes += [accepted.wake] if accepted.wake else []
        return Answer(target=target, entrance=Entrance.IN)

    def _extra(self, carried: Carried) -> dict[str, Any]:
        extra = {
            "actor": self.actor,
            "reason": self.reason,
            "received_at": carried.received_at.isoformat(),
        }
        return extra | ({"fetched": carried.fetched} if carried.fetched else {})


_SETTLED = sa.text("SELECT id, fingerprint FROM stripe_events WHERE id = ANY(:keys)")


_DISCARDED = sa.text(
    "SELECT event_id FROM dead_letters WHERE event_id = ANY(:keys) AND state = 'discarded'"
)
