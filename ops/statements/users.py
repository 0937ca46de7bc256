"""Find the user whom a person means to give something, before anything is recorded."""

from collections.abc import Sequence

from sqlalchemy import Connection

from billing.ids import Realm
from billing.readers.search_terms import is_stripe_id
from ops.errors import CommandFailed
from ops.queries.known_users import is_known
from ops.queries.lookups import describe_missing, look_up_one
from ops.statements.request import read_user


def find_user(connection: Connection, realms: Sequence[Realm], text: str, *, new_user: bool) -> str:
    """Return the user whom an own id, an id of Stripe or an address means.

    ``new_user`` allows an own id that nothing has named before; what has the form of an id of
    Stripe and is known as one is none.

    Raises:
        CommandFailed: no user is meant, or several are; the error says what to do.
    """
    lookup = look_up_one(connection, realms, read_user(text))
    if lookup.users:
        return lookup.user
    of_stripe = is_stripe_id(lookup.text)
    if new_user and not (of_stripe and lookup.parties):
        return lookup.user
    if lookup.parties or lookup.candidates or of_stripe:
        raise CommandFailed(f"{describe_missing(lookup)}; nothing was recorded")
    raise unknown_user(lookup.text)


def require_known(connection: Connection, user_id: str, *, new_user: bool) -> None:
    """Refuse a user whom nothing has named before, unless a new one is allowed.

    Raises:
        CommandFailed: nothing has named the user.
    """
    if not new_user and not is_known(connection, user_id):
        raise unknown_user(user_id)


def unknown_user(user_id: str) -> CommandFailed:
    """Return the error for a user whom nothing has named before."""
    return CommandFailed(
        f"nothing has named the user {user_id!r} yet: look for a typing error, or give --new-user;"
        " nothing was recorded"
    )
