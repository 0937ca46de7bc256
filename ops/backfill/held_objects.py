"""Keep what the lists of money show until all of it is read, then hand it in by customer.

A party is projected each time that something of it is handed in, so a bill, its payment and its
charge cost as much as two years of them, if these come at once. The objects wait in PostgreSQL,
beside how far the lists are read: what a killed run has read is read.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy import Connection, Row

from billing.fetching.observations import ApiObservation
from billing.json_fields import Raw, customer_in, reference_in
from models.tables import StripeRun, StripeRunObject
from ops.stripe_runs.order import FAMILIES_IN_ORDER
from runtime.ledger.bulk import insert_rows

AT_ONCE: Final = 500
"""The most objects that are handed in together; those of one holder may be more in turns."""

_HELD_BY: Final = ("payment_intent", "charge", "invoice")


def holder_of(raw: Raw) -> str:
    """Return the customer of an object, else the payment or bill that it is of, else itself."""
    named = (reference_in(raw, each) for each in _HELD_BY)
    return customer_in(raw) or next(filter(None, named), None) or str(raw.get("id"))


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldObject:
    """An observation that waits to be handed in, with the list that showed it."""

    list: str
    holder: str
    observation: ApiObservation


def hold(connection: Connection, run: int, shown: Iterable[HeldObject]) -> None:
    """Keep objects; one that is kept already is replaced."""
    rows = [_row(run, each) for each in shown]
    insert_rows(connection, StripeRunObject, rows, conflict="replace")


def join_holders(connection: Connection, run: int) -> None:
    """Hold together what belongs to one customer, once all lists are read.

    Refunds and some charges do not name their customer, who is known by the payment they name.
    """
    while connection.execute(_JOIN, {"run": run}).rowcount:
        pass


def held(connection: Connection, run: int, *, after: str) -> list[HeldObject]:
    """Return the next objects to hand in: those of some holders, none of which is before ``after``.

    A holder with very many comes in turns, refunds before charges, because only a refund tells when
    money went back. In each turn those are released that came.
    """
    rows = connection.execute(
        sa.select(StripeRunObject.__table__)
        .where(StripeRunObject.run == run, StripeRunObject.holder >= after)
        .order_by(StripeRunObject.holder, _PLACE, StripeRunObject.object_id)
        .limit(AT_ONCE)
    ).all()
    return [_held(row) for row in _whole_holders(rows)]


def release(connection: Connection, run: int, shown: Iterable[HeldObject]) -> None:
    """Forget objects that are handed in."""
    keys = [(each.holder, each.observation.object_id) for each in shown]
    values = {"run": run, "holders": [key[0] for key in keys], "names": [key[1] for key in keys]}
    connection.execute(_RELEASE, values)


def count_held(connection: Connection, run: int) -> int:
    """Return how many objects wait."""
    query = sa.select(sa.func.count()).where(StripeRunObject.run == run)
    return int(connection.scalar(query.select_from(StripeRunObject)) or 0)


def forget_ended(connection: Connection) -> None:
    """Forget what runs hold that were cancelled or failed."""
    running = sa.select(StripeRun.id).where(StripeRun.state == "running")
    connection.execute(sa.delete(StripeRunObject).where(StripeRunObject.run.not_in(running)))


_PLACE: Final = sa.case(
    {family: place for place, family in enumerate(FAMILIES_IN_ORDER)},
    value=StripeRunObject.family,
    else_=len(FAMILIES_IN_ORDER),
)
_JOIN: Final = sa.text(
    "UPDATE stripe_run_objects AS part SET holder = whole.holder FROM stripe_run_objects AS whole"
    " WHERE part.run = :run AND whole.run = :run AND whole.object_id = part.holder"
    " AND whole.holder <> part.holder"
)
_RELEASE: Final = sa.text(
    "DELETE FROM stripe_run_objects USING unnest(cast(:holders AS text[]), cast(:names AS text[]))"
    " AS given (holder, name) WHERE run = :run AND stripe_run_objects.holder = given.holder"
    " AND object_id = name"
)


def _whole_holders(rows: Sequence[Row[Any]]) -> Sequence[Row[Any]]:
    """Return the rows without the last holder, who may have more, unless there is no other."""
    if len(rows) < AT_ONCE or rows[0].holder == rows[-1].holder:
        return rows
    return [row for row in rows if row.holder != rows[-1].holder]


def _row(run: int, shown: HeldObject) -> Mapping[str, Any]:
    observation = shown.observation
    return {
        "run": run,
        "holder": shown.holder,
        "object_id": observation.object_id,
        "list": shown.list,
        "family": observation.family,
        "asked_at": observation.asked_at,
        "api_version": observation.api_version,
        "gone": observation.gone,
        "payload": observation.payload,
    }


def _held(row: Row[Any]) -> HeldObject:
    observation = ApiObservation(
        family=row.family,
        object_id=row.object_id,
        asked_at=row.asked_at,
        api_version=row.api_version,
        gone=row.gone,
        payload=row.payload,
    )
    return HeldObject(list=row.list, holder=row.holder, observation=observation)
