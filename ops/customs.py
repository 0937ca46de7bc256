"""How events of a file are let in: through the inbox, as a replay's are, each of them once.

What is settled here already is left alone, and so is what an operator discarded, here or there.
So the same file may be let in twice, by two people, or again after it was broken off.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from ops.export.import_file import Carried
from ops.replay.requeue import Answer, Entrance, Inbox, entrance_of_pending
from ops.replay.targets import Target
from runtime.ledger.deliveries import REPLAY


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
