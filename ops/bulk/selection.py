"""Write the items of a plan: the events it is about, in one statement where the filter allows.

A filter that names a user or a customer has to read the dead letters that may be about them. Any
other filter is a condition in SQL, so the events never leave PostgreSQL, however many they are.
"""

from collections.abc import Sequence
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.dialects.postgresql import ARRAY

from billing.ids import Realm
from models.tables import BulkItem, DeadLetter, StripeEvent
from ops.bulk.targets import (
    DEAD,
    Selection,
    Target,
    choose_events,
    choose_letters,
)
from ops.queries import dead_letters, events
from ops.queries.dead_letters import OPEN

_COLUMNS: Final = ("plan", "position", "key", "body_sha256", "letter_state")


def write_items(
    connection: Connection,
    plan: int,
    selection: Selection | Sequence[Target],
    *,
    only_letters: bool,
    realms: Sequence[Realm],
) -> int:
    """Write the items and return how many there are; 0 if no event matches.

    Raises:
        CommandFailed: an id does not exist or is in another state.
    """
    if not isinstance(selection, Selection):
        return _write(connection, plan, _named(selection))
    wanted = selection.wanted
    if selection.ids or wanted.user or wanted.customer or wanted.objects:
        targets = (
            choose_letters(connection, selection, OPEN, realms=realms)
            if only_letters
            else choose_events(connection, realms, selection)
        )
        return _write(connection, plan, _named(targets))
    return _write(connection, plan, _matching(selection, only_letters=only_letters))


def _write(connection: Connection, plan: int, chosen: sa.Select[*tuple[Any, ...]]) -> int:
    numbered = chosen.subquery()
    position = sa.func.row_number().over(
        order_by=(numbered.c.part, numbered.c.failed_at, numbered.c.number, numbered.c.key)
    )
    rows = sa.select(
        sa.literal(plan, sa.BigInteger()),
        position,
        numbered.c.key,
        numbered.c.body_sha256,
        numbered.c.letter_state,
    )
    insert = sa.insert(BulkItem).from_select([*_COLUMNS], rows)
    return connection.execute(insert, execution_options={"preserve_rowcount": True}).rowcount


def _matching(selection: Selection, *, only_letters: bool) -> sa.Select[*tuple[Any, ...]]:
    wanted = selection.wanted
    only_dead = only_letters or wanted.outcome == DEAD or wanted.error is not None
    letters = _letters().where(
        DeadLetter.state == OPEN, *dead_letters.letter_conditions(wanted).values()
    )
    settled = _settled().where(*events.conditions(wanted, {}))
    if only_dead:
        return letters
    if wanted.outcome is not None or wanted.unfetched:
        return settled
    dead = sa.select(DeadLetter.event_id).where(
        DeadLetter.state == OPEN, *dead_letters.letter_conditions(wanted).values()
    )
    both = letters.union_all(settled.where(StripeEvent.id.not_in(dead))).subquery()
    return sa.select(both)


def _letters() -> sa.Select[*tuple[Any, ...]]:
    return sa.select(
        sa.literal(0).label("part"),
        DeadLetter.last_failed_at.label("failed_at"),
        sa.literal(0, sa.BigInteger()).label("number"),
        DeadLetter.event_id.label("key"),
        letter_hash().label("body_sha256"),
        DeadLetter.state.label("letter_state"),
    )


def _settled() -> sa.Select[*tuple[Any, ...]]:
    return sa.select(
        sa.literal(1).label("part"),
        sa.null().cast(sa.DateTime(timezone=True)).label("failed_at"),
        StripeEvent.settlement.label("number"),
        StripeEvent.id.label("key"),
        StripeEvent.payload_sha256.label("body_sha256"),
        sa.null().cast(sa.Text()).label("letter_state"),
    )


def _named(targets: Sequence[Target]) -> sa.Select[*tuple[Any, ...]]:
    named = (
        sa.func.unnest(
            sa.cast([target.key for target in targets], ARRAY(sa.Text)),
            sa.cast([target.is_dead_letter for target in targets], ARRAY(sa.Boolean)),
        )
        .table_valued(
            sa.column("key", sa.Text),
            sa.column("dead", sa.Boolean),
            with_ordinality="number",
        )
        .render_derived(name="named")
    )
    return (
        sa.select(
            sa.literal(0).label("part"),
            sa.null().cast(sa.DateTime(timezone=True)).label("failed_at"),
            named.c.number.label("number"),
            named.c.key.label("key"),
            sa.func.coalesce(letter_hash(), StripeEvent.payload_sha256).label("body_sha256"),
            DeadLetter.state.label("letter_state"),
        )
        .select_from(named)
        .outerjoin(DeadLetter, named.c.dead & (DeadLetter.event_id == named.c.key))
        .outerjoin(StripeEvent, ~named.c.dead & (StripeEvent.id == named.c.key))
        .where(DeadLetter.event_id.is_not(None) | StripeEvent.id.is_not(None))
    )


def letter_hash() -> sa.ColumnElement[str]:
    """Return the SHA-256 of a dead letter's body in hex, as ``payload_sha256`` has it."""
    body = sa.func.convert_to(DeadLetter.payload, "UTF8")
    return sa.func.encode(sa.func.sha256(body), "hex", type_=sa.Text())
