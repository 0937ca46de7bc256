"""Read the query of a request: the users it names, or the changes it asks for."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from ops.console.entitlements import MAX_USERS
from runtime.time_limits import CHANGE_WAIT_SECONDS

MAX_CHANGES: Final = 1000
"""Changes in one document."""

_DEFAULT_CHANGES: Final = 500
_NUMBER: Final = re.compile(r"\d{1,18}", re.ASCII)


class UnusableQuery(ValueError):
    """The query does not say what to read."""


class Parameters(Protocol):
    """The parameters of a query, each with all its values."""

    def getlist(self, key: str, /) -> list[str]:
        """Return the values of a parameter in their order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedUsers:
    """One to ``MAX_USERS`` users, or one Stripe customer."""

    user_ids: tuple[str, ...]
    customer: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangesQuery:
    """The changes after a cursor, or the newest cursor alone, after a wait of some seconds."""

    after: int | None
    wait: int
    limit: int


def read_named_users(parameters: Parameters) -> NamedUsers:
    """Return what ``user_id`` and ``customer`` name.

    Raises:
        UnusableQuery: they name nothing, too much, both kinds, or an empty id.
    """
    users, customers = parameters.getlist("user_id"), parameters.getlist("customer")
    named = [*users, *customers]
    if not all(named) or not named or (users and customers):
        raise UnusableQuery
    if len(customers) > 1 or len(users) > MAX_USERS:
        raise UnusableQuery
    return NamedUsers(user_ids=tuple(users), customer=customers[0] if customers else None)


def read_changes_query(parameters: Mapping[str, str]) -> ChangesQuery:
    """Return the query; a ``wait`` or ``limit`` above the highest counts as that.

    Raises:
        UnusableQuery: one of the values is no whole number, or the limit is 0.
    """
    after, wait, limit = (_number(parameters.get(name)) for name in ("after", "wait", "limit"))
    if limit == 0:
        raise UnusableQuery
    return ChangesQuery(
        after=after,
        wait=min(wait or 0, CHANGE_WAIT_SECONDS),
        limit=min(limit or _DEFAULT_CHANGES, MAX_CHANGES),
    )


def _number(given: str | None) -> int | None:
    if given is None:
        return None
    if not _NUMBER.fullmatch(given):
        raise UnusableQuery
    return int(given)
