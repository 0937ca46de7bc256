"""Compare a column with any number of values.

PostgreSQL takes at most 65,535 parameters in a statement, and ``IN`` needs one for each value. An
array is one parameter.
"""

from collections.abc import Iterable
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY


def one_of(column: sa.SQLColumnExpression[Any], values: Iterable[str]) -> sa.ColumnElement[bool]:
    """Return the condition that the column has one of these texts."""
    return column == sa.any_(sa.cast(list(values), ARRAY(sa.Text)))
