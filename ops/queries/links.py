"""Query the links that people made, and what waits for a user."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, text

from billing.ids import ObjectKey, realm_in
from ops.queries.lookups import parties_by_email
from ops.queries.parties import users_of_parties
from runtime.ledger.notes import NOTES

_MOST_SHOWN: Final = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedLink:
    """One link; ``ended_by`` and the two beside it are None while it stands."""

    link: str
    target: str
    user_id: str
    realm: str
    actor: str
    reason: str
    made_at: datetime
    ended_at: datetime | None
    ended_by: str | None
    end_reason: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class UserCandidate:
    """A user to whom something may belong, and why."""

    user_id: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitingSource:
    """A subscription, purchase or payment without a user; ``target`` is the id to link."""

    target: str
    customer: str | None
    since: datetime
    realm: str
    emails: tuple[str, ...]
    candidates: tuple[UserCandidate, ...]


def list_links(
    connection: Connection,
    *,
    user: str | None,
    target: str | None,
    ended: bool,
    limit: int,
) -> tuple[list[ListedLink], int]:
    """Return the links that match, the newest first, and how many there are."""
    values = {"user": user, "target": target, "ended": ended}
    rows = connection.execute(_LINKS, {**values, "limit": limit}).mappings()
    return [ListedLink(**row) for row in rows], int(connection.scalar(_LINK_COUNT, values) or 0)


def links_to(connection: Connection, user_id: str) -> list[ListedLink]:
    """Return the links to a user that stand, the newest first."""
    found, _ = list_links(connection, user=user_id, target=None, ended=False, limit=_MOST_SHOWN)
    return found


def find_link(connection: Connection, link: str) -> ListedLink | None:
    """Return the link with an id, None if there is none."""
    values = {"user": None, "target": None, "ended": True, "link": link}
    found = connection.execute(_ONE_LINK, values).mappings().first()
    return None if found is None else ListedLink(**found)


def list_waiting(connection: Connection, *, limit: int) -> tuple[list[WaitingSource], int, int]:
    """Return what waits for a user, the oldest first; how much does, and in how many parties."""
    found = [
        _waiting(connection, row) for row in connection.execute(_WAITING, {"limit": limit}).all()
    ]
    count = connection.execute(_WAITING_COUNT).one()
    return found, count.sources, count.parties


def _waiting(connection: Connection, row: Any) -> WaitingSource:
    emails = tuple(connection.scalars(_EMAILS, {"party": row.party}))
    candidates = [
        *_named_before(connection, row.party, row.users),
        *_by_payment_link(connection, row.party),
        *_by_email(connection, row.party, emails),
    ]
    return WaitingSource(
        target=row.target,
        customer=_customer(connection, row.party, row.object_key),
        since=row.since,
        realm=realm_in(ObjectKey(row.party)),
        emails=emails,
        candidates=_unique(candidates),
    )


def _named_before(
    connection: Connection, party: str, users: Sequence[str]
) -> Iterable[UserCandidate]:
    """Yield the users who were named under the same customer, with the time of the first time."""
    for user in users:
        first = connection.scalar(_FIRST_NAMED, {"party": party, "user": user})
        when = f" at {first:%Y-%m-%d %H:%M}Z" if first else ""
        yield UserCandidate(user_id=user, why=f"named under the same customer{when}")


def _by_payment_link(connection: Connection, party: str) -> list[UserCandidate]:
    """Return the users whom checkouts of payment links named: the buyer may have written them."""
    rows = connection.execute(_BY_PAYMENT_LINK, {"party": party})
    return [UserCandidate(user_id=row.user_id, why=f"payment link {row.link}") for row in rows]


def _by_email(connection: Connection, party: str, emails: Iterable[str]) -> list[UserCandidate]:
    """Return the users of other customers that bear the same address."""
    found = []
    for email in emails:
        parties = set(connection.scalars(parties_by_email(email))) - {party}
        users = users_of_parties(connection, parties) if parties else ()
        found += [UserCandidate(user_id=user, why=f"e-mail {email}") for user in users]
    return found


def _unique(candidates: Iterable[UserCandidate]) -> tuple[UserCandidate, ...]:
    first = {each.user_id: each for each in reversed(list(candidates))}
    return tuple(reversed(first.values()))


def _customer(connection: Connection, party: str, key: str) -> str | None:
    customer: str | None = connection.scalar(_CUSTOMER, {"party": party, "key": key})
    return customer


_LINKS_MATCHING = """
    SELECT made.subject AS link, made.target, made.user_id, made.realm, made.actor, made.reason,
           made.made_at, ended.made_at AS ended_at, ended.actor AS ended_by,
           ended.reason AS end_reason
    FROM operator_statements AS made
    LEFT JOIN operator_statements AS ended
        ON ended.subject = made.subject AND ended.kind = 'link_ended'
    WHERE made.kind = 'link' AND (:ended OR ended.id IS NULL)
      AND (CAST(:user AS text) IS NULL OR made.user_id = :user)
      AND (CAST(:target AS text) IS NULL OR made.target = :target)
"""
_LINKS = text(f"{_LINKS_MATCHING} ORDER BY made.made_at DESC, link LIMIT :limit")
_ONE_LINK = text(f"{_LINKS_MATCHING} AND made.subject = :link")
_LINK_COUNT = text(f"SELECT count(*) FROM ({_LINKS_MATCHING}) AS each")  # noqa: S608 - our own words
# A payment may be known by its checkout alone, so what mentions an object counts as well.
_NAMES = "(object_key = {key} OR jsonb_exists(fact -> 'mentions', {key}))"
_WAITING = text(
    f"""
    SELECT source.party, target, object_key, users, coalesce(
        (SELECT min(created_at) FROM facts
         WHERE facts.party = source.party AND {_NAMES.format(key="source.object_key")}),
        (SELECT min(created_at) FROM facts WHERE facts.party = source.party)) AS since
    FROM (SELECT party, name AS target, split_part(party, ':', 1) || ':' || name AS object_key,
                 ARRAY(SELECT jsonb_array_elements_text(value)) AS users
          FROM {NOTES} WHERE kind = 'candidates') AS source
    ORDER BY since, target, source.party LIMIT :limit
    """  # noqa: S608 - our own words
)
_WAITING_COUNT = text(
    "SELECT count(*) AS sources, count(DISTINCT party) AS parties"  # noqa: S608 - our own words
    f" FROM {NOTES} WHERE kind = 'candidates'"
)
_EMAILS = text(
    "SELECT DISTINCT term FROM search_terms WHERE party = :party AND kind = 'email' ORDER BY term"
)
_CUSTOMER = text(
    "SELECT fact ->> 'customer_id' FROM facts"  # noqa: S608 - our own words
    f" WHERE party = :party AND {_NAMES.format(key=':key')}"
    " AND fact ->> 'customer_id' IS NOT NULL ORDER BY created_at DESC LIMIT 1"
)
_FIRST_NAMED = text(
    "SELECT min(created_at) FROM facts WHERE party = :party AND :user IN"
    " (SELECT value FROM jsonb_each_text(coalesce(fact #> '{fields,metadata}', '{}'))"
    "  UNION SELECT fact #>> '{fields,client_reference_id}')"
)
_BY_PAYMENT_LINK = text(
    "SELECT DISTINCT fact #>> '{fields,client_reference_id}' AS user_id,"
    " fact #>> '{fields,payment_link}' AS link FROM facts"
    " WHERE party = :party AND kind = 'checkout_session'"
    " AND fact #>> '{fields,payment_link}' IS NOT NULL"
    " AND fact #>> '{fields,client_reference_id}' IS NOT NULL ORDER BY 1, 2"
)
