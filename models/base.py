"""The base of all tables: one metadata, named constraints, times with zones."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any, ClassVar

from sqlalchemy import BigInteger, CheckConstraint, DateTime, MetaData, Text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.orm import DeclarativeBase

NAMES = {
    "pk": "%(table_name)s_pkey",
    "uq": "%(table_name)s_%(column_0_name)s_key",
    "ck": "%(table_name)s_%(constraint_name)s_check",
    "ix": "%(table_name)s_%(column_0_name)s_idx",
}

BY_PREFIX = "text_pattern_ops"
"""Operators of an index that finds texts by their beginning, in a database of any language."""

UPDATED_OFTEN = {"fillfactor": 80}
"""Storage of tables whose rows are updated in place: free space keeps updates off the indexes."""


class Base(DeclarativeBase):
    """The base class of tables; a column has one name in Python and SQL."""

    metadata = MetaData(naming_convention=NAMES)
    type_annotation_map: ClassVar[dict[Any, Any]] = {
        str: Text(),
        int: BigInteger(),
        datetime: DateTime(timezone=True),
        list[str]: ARRAY(Text()),
        dict[str, Any]: JSONB(),
        list[Any]: JSONB(),
    }


def one_of(column: str, words: Iterable[str]) -> CheckConstraint:
    """Return a constraint that limits a column to these words."""
    listed = ", ".join(f"'{word}'" for word in words)
    return CheckConstraint(f"{column} IN ({listed})", name=column)
