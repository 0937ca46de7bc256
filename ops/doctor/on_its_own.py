"""Run one check of the database so that its failure does not hide the checks after it."""

from collections.abc import Callable, Iterator
from typing import Final

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from ops.doctor.findings import Finding, problem
from ops.errors import first_line

Find = Callable[[Connection], Iterator[Finding]]

_NO_RIGHT: Final = "42501"


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
        return [_failed(check, error)]


def on_its_own_connection(check: str, find: Callable[[], Iterator[Finding]]) -> list[Finding]:
    """Do the same for a check that opens a connection."""
    try:
        return list(find())
    except DBAPIError as error:
        if error.connection_invalidated:
            raise
        return [_failed(check, error)]


def _failed(check: str, error: DBAPIError) -> Finding:
    advice = "run `paidup doctor` again later"
    if getattr(error.orig, "sqlstate", None) == _NO_RIGHT:
        advice = "run `paidup migrate` as the owner"
    return problem(check, f"could not be checked: {first_line(error)}; {advice}")
