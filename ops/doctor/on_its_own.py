"""Run one check of the database so that its failure does not hide the checks after it."""

from collections.abc import Callable, Iterator

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from ops.doctor.findings import Finding, problem
from ops.errors import first_line

Find = Callable[[Connection], Iterator[Finding]]


def on_its_own(connection: Connection, check: str, find: Find) -> list[Finding]:
    """Return the findings of a check, or the one that it failed: it took too long, for example.

    Raises:
        DBAPIError: the connection broke, so no check can follow.
    """
    try:
        with connection.begin_nested():
            return list(find(connection))
    except DBAPIError as error:
        if error.connection_invalidated or connection.closed:
            raise
        says = f"could not be checked: {first_line(error)}; run `paidup doctor` again later"
        return [problem(check, says)]
