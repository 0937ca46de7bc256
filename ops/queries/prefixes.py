"""Find texts by their beginning, along an index that orders them by their bytes.

``LIKE`` with a parameter reaches such an index only while PostgreSQL plans each call by itself.
"""

from typing import Any, Final

from sqlalchemy import Boolean, ColumnElement, SQLColumnExpression

_LAST: Final = "\U0010ffff"
"""The last character of all: it sorts behind all that may follow a beginning."""


def begins_with(column: SQLColumnExpression[Any], prefix: str) -> ColumnElement[bool]:
    """Return the condition that a text begins so."""
    first = column.op("~>=~", return_type=Boolean())(prefix)
    return first & column.op("~<=~", return_type=Boolean())(prefix + _LAST)
