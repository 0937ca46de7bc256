from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any, TypeGuard

import pytest
from hypothesis import given
from hypothesis import strategies as st
from psycopg.adapt import PyFormat, Transformer
from psycopg.types.numeric import Int4, Int8
from sqlalchemy import Engine
from sqlalchemy.exc import DataError

from models import tables
from models.base import Base
from runtime.database.array_params import KINDS, Column, array_of
from runtime.database.engine import engine_for
from runtime.ledger import bulk
from runtime.ledger.deliveries import Outcome

NOON = datetime(2026, 2, 1, 12, tzinfo=UTC)
ZONES = st.sampled_from([UTC, timezone(timedelta(hours=-9, minutes=-30))])
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "TEXT": st.text(st.characters(codec="utf-8"), max_size=20) | st.sampled_from(Outcome),
    "INTEGER": st.integers(-(2**31), 2**31 - 1).map(Int4),
    "BIGINT": st.integers(-(2**63), 2**63 - 1).map(Int8),
    "FLOAT": st.floats(),
    "BOOLEAN": st.booleans(),
    "TIMESTAMP WITH TIME ZONE": st.datetimes(timezones=ZONES),
    "DATE": st.dates(),
}
ANY_TYPE = pytest.mark.parametrize("sql_type", sorted(KINDS))


def as_psycopg_sends(values: Sequence[Any]) -> bytes:
    (sent,) = Transformer().dump_sequence([list(values)], [PyFormat.BINARY])
    assert sent is not None
    return bytes(sent)


def _is_model(candidate: object) -> TypeGuard[type[Base]]:
    return isinstance(candidate, type) and issubclass(candidate, Base) and candidate is not Base


@pytest.fixture
def engine(database: str) -> Iterator[Engine]:
    engine = engine_for(database, application_name="test", pool_size=1)
    yield engine
    engine.dispose()


def echoed(engine: Engine, column: Column) -> list[Any]:
    with engine.begin() as connection:
        query = f"SELECT unnest(%(sent)b::{column.type}[])"
        found = connection.exec_driver_sql(query, {"sent": column})
        return list(found.scalars())


@ANY_TYPE
@given(drawn=st.data())
def test_every_array_is_the_one_that_psycopg_sends(sql_type: str, drawn: st.DataObject) -> None:
    known = VALUES[sql_type]
    before, after = st.lists(st.none() | known), st.lists(st.none() | known)
    # Of nothing but nulls psycopg could not tell the type.
    values = [*drawn.draw(before), drawn.draw(known), *drawn.draw(after)]

    assert array_of(Column(sql_type, values)) == as_psycopg_sends(values)


def test_a_time_without_a_zone_is_not_sent() -> None:
    with pytest.raises(TypeError, match="offset-naive"):
        array_of(Column("TIMESTAMP WITH TIME ZONE", [NOON.replace(tzinfo=None)]))


def test_every_column_of_every_table_is_of_a_known_type() -> None:
    models = [model for model in vars(tables).values() if _is_model(model)]
    columns = [
        bulk._column(model, column.name) for model in models for column in model.__table__.columns
    ]

    assert {column.sent_as for column in columns} == KINDS.keys()


@pytest.mark.servers
@pytest.mark.parametrize(
    "column",
    [
        Column("TEXT", ["", "NULL", None, 'a "quoted" one', "back\\slash", "{}", "ünï 😀"]),
        Column("INTEGER", [-(2**31), None, 0, 2**31 - 1]),
        Column("BIGINT", [-(2**63), None, 0, 2**63 - 1]),
        Column("BOOLEAN", [True, None, False]),
        Column("TIMESTAMP WITH TIME ZONE", [NOON, None, datetime(1969, 7, 20, 20, 17, 40, 7, UTC)]),
        Column("DATE", [NOON.date(), None, date(1969, 7, 20)]),
        *(Column(sql_type, [None, None]) for sql_type in KINDS),
        *(Column(sql_type, []) for sql_type in KINDS),
    ],
    ids=str,
)
def test_a_column_arrives_as_it_was_sent(engine: Engine, column: Column) -> None:
    assert echoed(engine, column) == column.values


@pytest.mark.servers
@pytest.mark.parametrize(
    "column",
    [Column("INTEGER", [2**31]), Column("BIGINT", [1, -(2**63) - 1]), Column("TEXT", ["a\0b"])],
    ids=str,
)
def test_what_a_type_has_no_room_for_is_an_error_of_the_data(
    engine: Engine, column: Column
) -> None:
    with pytest.raises(DataError):
        echoed(engine, column)
