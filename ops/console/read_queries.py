"""Read the query of a request: the users it names, or the changes it asks for.

What is not understood is refused and never left out: a client that mistypes ``after`` would start
over, and one that asks for a longer wait than there is would believe that it waited so long.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Protocol

from ops.console.entitlements import MAX_USERS
from runtime.time_limits import CHANGE_WAIT_SECONDS

MAX_CHANGES: Final = 1000
"""Changes in one document."""

_DEFAULT_CHANGES: Final = 500
_MAX_CURSOR: Final = 10**18 - 1
"""More than any cursor, and within what PostgreSQL takes for one."""
_NUMBER: Final = re.compile(r"\d{1,18}", re.ASCII)


class UnusableQuery(ValueError):
    """The query does not say what to read; the message says what to send, and repeats nothing."""


class Parameters(Protocol):
    """The parameters of a query, each with all its values."""

    def __iter__(self) -> Iterator[str]:
        """Yield the name of each parameter."""

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


def read_no_query(parameters: Parameters) -> None:
    """Accept the query of a path that takes no parameter, which is empty.

    Raises:
        UnusableQuery: there is one.
    """
    if [*parameters]:
        raise UnusableQuery("This path takes no parameters.")


def read_named_users(parameters: Parameters) -> NamedUsers:
    """Return what ``user_id`` and ``customer`` name.

    Raises:
        UnusableQuery: they name nothing, too much, both kinds, or an empty id, or there is another
            parameter.
    """
    users, customers = parameters.getlist("user_id"), parameters.getlist("customer")
    named = [*users, *customers]
    usable = bool(named) and all(named) and not (users and customers)
    known = {"user_id", "customer"}.issuperset(parameters)
    if not (usable and known and len(customers) <= 1 and len(users) <= MAX_USERS):
        raise UnusableQuery(
            f"Name 1 to {MAX_USERS} users with user_id, each in its own parameter, or one Stripe"
            " customer with customer. This path takes no other parameters."
        )
    return NamedUsers(user_ids=tuple(users), customer=customers[0] if customers else None)


def read_changes_query(parameters: Parameters) -> ChangesQuery:
    """Return the query.

    Raises:
        UnusableQuery: a value is no whole number or out of its bounds, or a parameter is there
            twice or unknown.
    """
    if not {"after", "wait", "limit"}.issuperset(parameters):
        raise UnusableQuery("This path takes the parameters after, wait and limit, and no other.")
    wait = _number(parameters, "wait", lowest=0, highest=CHANGE_WAIT_SECONDS)
    limit = _number(parameters, "limit", lowest=1, highest=MAX_CHANGES)
    return ChangesQuery(
        after=_number(parameters, "after", lowest=0, highest=_MAX_CURSOR),
        wait=wait or 0,
        limit=limit or _DEFAULT_CHANGES,
    )


_MEANINGS: Final = {
    "after": "the cursor of your last response",
    "wait": "the seconds to wait for a change",
    "limit": "the number of changes",
}


def _number(parameters: Parameters, name: str, *, lowest: int, highest: int) -> int | None:
    given = parameters.getlist(name)
    if not given:
        return None
    number = int(given[0]) if len(given) == 1 and _NUMBER.fullmatch(given[0]) else -1
    if not lowest <= number <= highest:
        raise UnusableQuery(
            f"Send {name}, {_MEANINGS[name]}, at most once and as a whole number from {lowest} to"
            f" {highest}."
        )
    return number
