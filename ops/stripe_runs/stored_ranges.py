"""The ranges of a run in PostgreSQL: written with what a page showed, read when the run goes on."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection, Row

from models.tables import StripeRunRange
from ops.stripe_runs.lists import Span
from ops.stripe_runs.ranges import ListPart
from runtime.ledger.bulk import insert_rows


def load_parts(connection: Connection, run: int) -> list[ListPart]:
    """Return every range of the run, as far as it was read."""
    rows = connection.execute(
        sa.select(StripeRunRange.__table__)
        .where(StripeRunRange.run == run)
        .order_by(StripeRunRange.list, StripeRunRange.position)
    )
    return [_part(row) for row in rows]


def save_parts(connection: Connection, run: int, parts: Iterable[ListPart]) -> None:
    """Write ranges, replacing what is stored of them."""
    insert_rows(connection, StripeRunRange, [_row(run, part) for part in parts], conflict="replace")


def _part(row: Row[Any]) -> ListPart:
    oldest, newest = _second(row.oldest), _second(row.newest)
    return ListPart(
        list=row.list,
        position=row.position,
        span=Span(oldest=oldest, newest=newest),
        cursor=row.cursor,
        pages=row.pages,
        objects=row.objects,
        done=row.done,
    )


def _row(run: int, part: ListPart) -> Mapping[str, Any]:
    return {
        "run": run,
        "list": part.list,
        "position": part.position,
        "oldest": _time(part.span.oldest),
        "newest": _time(part.span.newest),
        "cursor": part.cursor,
        "pages": part.pages,
        "objects": part.objects,
        "done": part.done,
    }


def _second(at: datetime | None) -> int | None:
    return None if at is None else int(at.timestamp())


def _time(second: int | None) -> datetime | None:
    return None if second is None else datetime.fromtimestamp(second, UTC)
