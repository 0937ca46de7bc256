"""Query the links that people made, and what waits for a user."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, text

from billing.ids import ObjectKey, realm_in
from ops.queries.lookups import parties_by_email
from ops.queries.parties import users_of_parties


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


def list_waiting(connection: Connection, *, limit: int) -> tuple[list[WaitingSource], int]:
    """Return what waits for a user, the oldest first, and how many parties have something."""
    found = [
        each
        for row in connection.execute(_WAITING, {"limit": limit})
        for each in _waiting_in(connection, row)
    ]
    found.sort(key=lambda each: (each.since, each.target))
    return found[:limit], int(connection.scalar(_WAITING_COUNT) or 0)


def _waiting_in(connection: Connection, row: Any) -> Iterable[WaitingSource]:
    """Yield every source and payment of a party that waits."""
    realm = realm_in(ObjectKey(row.party))
    emails = tuple(connection.scalars(_EMAILS, {"party": row.party}))
    others = _by_email(connection, row.party, emails)
    by_link = _by_payment_link(connection, row.party)
    for target, named in sorted(row.candidates.items()):
        yield WaitingSource(
            target=target,
            customer=_customer(connection, row.party, f"{realm}:{target}"),
            since=_since(connection, row.party, f"{realm}:{target}") or row.since,
            realm=realm,
            emails=emails,
            candidates=_unique([*_named_before(connection, row.party, named), *by_link, *others]),
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


def _since(connection: Connection, party: str, key: str) -> datetime | None:
    first: datetime | None = connection.scalar(_SINCE, {"party": party, "key": key})
    return first


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
_LINK_COUNT = text(f"SELECT count(*) FROM ({_LINKS_MATCHING}) AS each")  # noqa: S608 - our own words
_WAITING = text(
    "SELECT party, candidates, (SELECT min(created_at) FROM facts"
    " WHERE facts.party = parties.party) AS since FROM parties WHERE waiting"
    " ORDER BY since, party LIMIT :limit"
)
_WAITING_COUNT = text("SELECT count(*) FROM parties WHERE waiting")
_EMAILS = text(
    "SELECT DISTINCT term FROM search_terms WHERE party = :party AND kind = 'email' ORDER BY term"
)
# A payment may be known by its checkout alone, so what mentions an object counts as well.
_NAMES_IT = "party = :party AND (object_key = :key OR jsonb_exists(fact -> 'mentions', :key))"
_SINCE = text(f"SELECT min(created_at) FROM facts WHERE {_NAMES_IT}")  # noqa: S608 - our own words
_CUSTOMER = text(
    f"SELECT fact ->> 'customer_id' FROM facts WHERE {_NAMES_IT}"  # noqa: S608 - our own words
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
